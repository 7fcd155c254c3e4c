/**
 * All options of casync on each of its verbs, as casync takes them: a script that says `casync --seed=x make`
 * goes on with imgtool in casync's place. Those that mean nothing to a verb are told of.
 * @module
 */
import { type Command, Option } from "commander";

/** casync's options that take a value, by their long names. */
const withValue: readonly string[] = [
  "log-level",
  "store",
  "extra-store",
  "chunk-size",
  "digest",
  "compression",
  "seed",
  "cache",
  "rate-limit-bps",
  "exclude-nodump",
  "exclude-submounts",
  "exclude-file",
  "reflink",
  "hardlink",
  "punch-holes",
  "delete",
  "undo-immutable",
  "seed-output",
  "recursive",
  "mkdir",
  "uid-shift",
  "uid-range",
  "what",
  "with",
  "without",
];

/** Options, short and long, that are followed by a value. */
export const casyncOptionsWithValue: readonly string[] = ["-l", ...withValue.map((name) => `--${name}`)];

const casyncVerbs: ReadonlySet<string> = new Set([
  "make",
  "extract",
  "list",
  "mtree",
  "stat",
  "digest",
  "mount",
  "mkdev",
  "gc",
]);

/** Adds to a verb that casync has the options of casync's that it does not have. */
export function acceptCasyncOptions(verb: string, command: Command): void {
  if (!casyncVerbs.has(verb)) return;
  const flags = [
    ...withValue.map((name) => (name === "log-level" ? "-l, --log-level <level>" : `--${name} <value>`)),
    "-c, --cache-auto",
    "-n, --dry-run",
  ];
  for (const one of flags) {
    const option = new Option(one).hideHelp();
    const isTaken = command.options.some(
      ({ long, short }) => long === option.long || (short !== undefined && short === option.short),
    );
    if (!isTaken) command.addOption(option);
  }
}

/** Names of the options that acceptCasyncOptions() added, as commander has their values. */
export function ignoredOptions(command: Command): readonly string[] {
  return command.options
    .filter(({ hidden, long }) => hidden && long !== "--log-level" && isCasyncOption(long ?? ""))
    .map((option) => option.attributeName());
}

function isCasyncOption(long: string): boolean {
  return withValue.includes(long.slice(2)) || ["--cache-auto", "--dry-run"].includes(long);
}
