/**
 * `imgtool completion SHELL`: a script that teaches a shell the verbs, their options and their values.
 * @module
 */
import { commandLineOptions } from "@imgtool/config";
import { Argument, type Command } from "commander";
import { bashCompletion, completedVerb, fishCompletion, zshCompletion, type CompletedVerb } from "../completion.ts";
import { runVerb, verbCommand } from "../verb.ts";
import { verbs } from "../verbs.ts";

const shells = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export function command(): Command {
  const completion = verbCommand("completion", "Print completions for a shell.").addArgument(
    new Argument("<shell>", "whose").choices(Object.keys(shells)),
  );
  completion.addHelpText(
    "after",
    `
Examples:
  imgtool completion bash > /usr/share/bash-completion/completions/imgtool
  imgtool completion zsh > "\${fpath[1]}/_imgtool"
  imgtool completion fish > ~/.config/fish/completions/imgtool.fish`,
  );
  return completion.action((shell: keyof typeof shells) =>
    runVerb(completion, async ({ reporter }) => {
      const choices = new Map(commandLineOptions.map((option) => [`--${option.long}`, option.choices ?? []]));
      const known: CompletedVerb[] = [];
      for (const [name, verb] of Object.entries(verbs)) {
        const { command: load } = await verb.load();
        known.push(completedVerb(name, verb.summary, load(), choices));
      }
      const script = shells[shell](known);
      reporter.result({ shell, script }, script.trimEnd());
    }),
  );
}
