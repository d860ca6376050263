# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
# Completion of the ringway command in bash. Commands and options are those that it lists itself.

_ringway_usages() {
	"$1" --help 2>/dev/null | sed -n '/^Commands:/,/^$/s/^  \([a-z].*\)/\1/p'
}

_ringway_options() {
	"$1" --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]*' | sort -u
}

_ringway_ports() {
	"$@" port list --json 2>/dev/null | grep -oE '"name": *"[^"]*"' | cut -d'"' -f4
}

_ringway() {
	local word=${COMP_WORDS[COMP_CWORD]} program=${COMP_WORDS[0]} i previous words=() ask=()
	COMPREPLY=()
	previous=${COMP_WORDS[COMP_CWORD - 1]}
	ask=("$program")
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		-s)
			((++i < COMP_CWORD)) && ask+=(-s "${COMP_WORDS[i]}")
			;;
		--socket=*) ask+=("${COMP_WORDS[i]}") ;;
		-*) ;;
		*) words+=("${COMP_WORDS[i]}") ;;
		esac
	done
	if [[ $previous == -s ]]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_ringway_options "$program")" -- "$word")
	elif ((${#words[@]} == 0)); then
		mapfile -t COMPREPLY < <(compgen -W \
			"$(_ringway_usages "$program" | cut -d' ' -f1 | sort -u)" -- "$word")
	elif ((${#words[@]} == 1)); then
		mapfile -t COMPREPLY < <(compgen -W "$(_ringway_usages "$program" |
			sed -n "s/^${words[0]} \([a-z]*\).*/\1/p" | sort -u)" -- "$word")
	elif [[ $(_ringway_usages "$program" | grep -E "^${words[0]} ${words[1]} ") == *NAME* ]]; then
		((${#words[@]} > 2)) || mapfile -t COMPREPLY < <(compgen -W \
			"$(_ringway_ports "${ask[@]}")" -- "$word")
	fi
}

complete -F _ringway ringway
