# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion of espalier(8) for bash: commands, options, files, and the names of the running daemon's connections.

_espalier_commands="status up down rekey dummy reload sas drops events config doctor version help"
_espalier_options="--json --socket --config --watch --all --ike --timeout --count --size --help --version"

# The values of KEY ("connection" or "child") in the daemon's status; nothing if it does not answer.
# usage: _espalier_names KEY [CONNECTION]
_espalier_names() {
	local key=$1
	shift
	espalier "${_espalier_daemon[@]}" --json status "$@" 2>/dev/null |
		sed -n "s/^ *\"$key\": \"\\(.*\\)\",\\{0,1\\}\$/\\1/p" | sort -u
}

# The words before the cursor that are no options: the command in _espalier_words[0], its arguments behind it.
# --socket and --config are kept for asking the same daemon.
_espalier_parse() {
	local i
	_espalier_words=()
	_espalier_daemon=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s | --socket | -c | --config)
			_espalier_daemon+=("${COMP_WORDS[i]}" "${COMP_WORDS[i + 1]}")
			((i++))
			;;
		-t | --timeout | -n | --count | -b | --size) ((i++)) ;;
		-*) ;;
		*) _espalier_words+=("${COMP_WORDS[i]}") ;;
		esac
	done
}

# What may stand as the next argument of the command.
_espalier_arguments() {
	local command=${_espalier_words[0]} count=$((${#_espalier_words[@]} - 1))
	case $command:$count in
	status:0 | up:0 | down:0 | rekey:0 | dummy:0) _espalier_names connection ;;
	up:1 | down:1 | rekey:1 | dummy:1) _espalier_names child "${_espalier_words[1]}" ;;
	config:0) echo check ;;
	config:1) compgen -f -- "${COMP_WORDS[COMP_CWORD]}" ;;
	help:0) echo "$_espalier_commands" ;;
	esac
}

_espalier() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} choices
	local _espalier_words _espalier_daemon
	COMPREPLY=()
	_espalier_parse
	case $before in
	-s | --socket | -c | --config)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	-t | --timeout | -n | --count | -b | --size) return ;;
	esac
	if [[ $word == -* ]]; then
		choices=$_espalier_options
	elif ((${#_espalier_words[@]})); then
		choices=$(_espalier_arguments)
	else
		choices=$_espalier_commands
	fi
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
}

complete -o filenames -F _espalier espalier
