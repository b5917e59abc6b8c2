#compdef sweepd

_sweepd_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _SWEEPD_COMPLETE=complete_zsh sweepd)
}

compdef _sweepd_completion sweepd


if [ "$funcstack[1]" = _sweepd ]; then
  _sweepd_completion  # zsh loads this file when it first wants to call it
fi
