/**
 * Options that were given and mean nothing for what is done: casync passes over them, too, but a person
 * should know.
 * @module
 */
import type { Progress } from "@imgtool/core";
import type { Command } from "commander";

/**
 * Warns of the options that were given.
 * @param names as commander has their values
 * @param what what is done, for the text: "of a file", "to a tar"
 */
export function warnUnused(command: Command, names: readonly string[], what: string, progress: Progress): void {
  const given = names.filter((name) => command.getOptionValueSource(name) === "cli");
  if (given.length === 0) return;
  const flags = command.options.filter((option) => given.includes(option.attributeName())).map(({ long }) => long);
  progress.log("warning", `${flags.join(" and ")} ${flags.length === 1 ? "has" : "have"} no meaning ${what}`);
}

/** Options about a directory's files and their metadata. */
export const treeOptions: readonly string[] = [
  "cache",
  "cacheAuto",
  "with",
  "without",
  "excludeNodump",
  "excludeSubmounts",
  "excludeFile",
  "uidShift",
  "uidRange",
];
