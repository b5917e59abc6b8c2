"""``python -m monitoring.grafana`` writes the dashboard anew."""

from __future__ import annotations

from monitoring.grafana.board import FILE, build, text_of

if __name__ == "__main__":
    FILE.write_text(text_of(build()), encoding="utf-8")
    print(f"wrote {FILE}")
