#compdef sweepd

_sweepd_completion() {
  eval $(env _TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _SWEEPD_COMPLETE=complete_zsh sweepd)
}

compdef _sweepd_completion sweepd

