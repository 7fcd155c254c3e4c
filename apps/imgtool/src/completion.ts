/**
 * Completion scripts for shells, from the verbs and their options as commander has them.
 * @module
 */
import type { Command, Option } from "commander";

export interface CompletedVerb {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
}

interface CompletedOption {
  readonly names: readonly string[];
  readonly summary: string;
  readonly takesValue: boolean;
  readonly choices: readonly string[];
}

/** What a shell is told of a verb. `choices` knows the values of settings, which commander does not. */
export function completedVerb(
  name: string,
  summary: string,
  command: Command,
  choices: ReadonlyMap<string, readonly string[]>,
): CompletedVerb {
  const visible = command.options.filter((option) => !option.hidden);
  return { name, summary, options: [help, ...visible.map((option) => completedOption(option, choices))] };
}

const help: CompletedOption = { names: ["-h", "--help"], summary: "display help", takesValue: false, choices: [] };

function completedOption(option: Option, choices: ReadonlyMap<string, readonly string[]>): CompletedOption {
  return {
    names: [option.short, option.long].filter((name) => name !== undefined),
    summary: option.description,
    takesValue: option.required || option.optional,
    choices: option.argChoices ?? choices.get(option.long ?? "") ?? [],
  };
}

/** One line of text, without what a shell would take for something else. */
function plain(text: string): string {
  return text
    .replaceAll(/[\n'"`\\$[\]:;]/g, " ")
    .replaceAll(/ +/g, " ")
    .trim();
}

/** For bash: source it, or put it into /usr/share/bash-completion/completions/imgtool. */
export function bashCompletion(verbs: readonly CompletedVerb[]): string {
  const cases = verbs.map(({ name, options }) => {
    const words = options.flatMap(({ names }) => names).join(" ");
    const values = options
      .filter(({ choices }) => choices.length > 0)
      .map(({ names, choices }) => `      ${names.join("|")}) values="${choices.join(" ")}" ;;`);
    const valued = options.filter(({ takesValue, choices }) => takesValue && choices.length === 0);
    const files = valued.flatMap(({ names }) => names).join("|");
    return [
      `    ${name})`,
      `      options="${words}"`,
      '      case "$option" in',
      ...values,
      ...(files === "" ? [] : [`      ${files}) files=yes ;;`]),
      "      esac ;;",
    ].join("\n");
  });
  return `# bash completion for imgtool
_imgtool() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} verb=build word option values= files= options=
  # bash splits --option=value at the equals sign.
  if [ "$current" = "=" ]; then option=$previous current=
  elif [ "$previous" = "=" ]; then option=\${COMP_WORDS[COMP_CWORD-2]}
  else option=$previous; fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in ${verbs.map(({ name }) => name).join("|")}) verb=$word; break ;; esac
  done
  case "$verb" in
${cases.join("\n")}
  esac
  if [ -n "$values" ]; then COMPREPLY=($(compgen -W "$values" -- "$current"))
  elif [ -n "$files" ]; then COMPREPLY=($(compgen -f -- "$current"))
  elif [[ $current == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif [ "$COMP_CWORD" = 1 ]; then COMPREPLY=($(compgen -W "${verbs.map(({ name }) => name).join(" ")}" -- "$current"))
  else COMPREPLY=($(compgen -f -- "$current")); fi
}
complete -o filenames -F _imgtool imgtool
`;
}

/** For zsh: put it as _imgtool into a folder of $fpath. */
export function zshCompletion(verbs: readonly CompletedVerb[]): string {
  const list = verbs.map(({ name, summary }) => `    '${name}:${plain(summary)}'`);
  const cases = verbs.map(({ name, options }) => {
    const words = options.flatMap(({ names, summary, takesValue, choices }) =>
      names.map((option) => {
        const value = choices.length > 0 ? `:value:(${choices.join(" ")})` : takesValue ? ":value:_files" : "";
        const equals = takesValue && option.startsWith("--") ? "=" : "";
        return `      '*${option}${equals}[${plain(summary)}]${value}'`;
      }),
    );
    return `  ${name})\n    _arguments \\\n${words.join(" \\\n")} \\\n      '*:file:_files' ;;`;
  });
  return `#compdef imgtool
_imgtool() {
  local -a verbs
  verbs=(
${list.join("\n")}
  )
  if (( CURRENT == 2 )) && [[ $words[2] != -* ]]; then
    _describe verb verbs
    return
  fi
  local verb=build word
  for word in $words[2,-1]; do
    if (( $verbs[(I)$word:*] )); then verb=$word; break; fi
  done
  case $verb in
${cases.join("\n")}
  esac
}
_imgtool "$@"
`;
}

/** For fish: put it as imgtool.fish into ~/.config/fish/completions. */
export function fishCompletion(verbs: readonly CompletedVerb[]): string {
  const lines = ["# fish completion for imgtool", `set -l verbs ${verbs.map(({ name }) => name).join(" ")}`];
  for (const { name, summary } of verbs)
    lines.push(`complete -c imgtool -n "not __fish_seen_subcommand_from $verbs" -a ${name} -d '${plain(summary)}'`);
  for (const { name, options } of verbs) {
    for (const { names, summary, takesValue, choices } of options) {
      const flags = names.map((option) =>
        option.startsWith("--") ? `-l ${option.slice(2)}` : `-s ${option.slice(1)}`,
      );
      const values = choices.length > 0 ? ` -x -a '${choices.join(" ")}'` : takesValue ? " -r" : "";
      lines.push(
        `complete -c imgtool -n "__fish_seen_subcommand_from ${name}" ${flags.join(" ")} -d '${plain(summary)}'${values}`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}
