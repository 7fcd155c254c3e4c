/**
 * mkosi's settings as command-line options, derived from the settings table.
 * @module
 */
import { commandLineOptions, type CommandLineItem } from "@imgtool/config";
import { type Command, Option } from "commander";

/** Options of the build verbs that assign no setting. */
const ownOptionsWithValue: readonly string[] = ["-C", "--directory", "--result-file"];

/** Every option, short and long, that is followed by a value; or those that may be. */
export function optionsWithValue(optional = false): ReadonlySet<string> {
  const names = new Set(optional ? [] : ownOptionsWithValue);
  for (const option of commandLineOptions) {
    if (option.optional !== optional || !/[<[]/.test(option.flags)) continue;
    names.add(`--${option.long}`);
    if (option.short !== undefined) names.add(`-${option.short}`);
  }
  return names;
}

/**
 * Adds an option for every setting, grouped by section in the help text. What is given on the command
 * line is appended to the returned list, in the order in which it stands there.
 */
export function addSettingOptions(command: Command): readonly CommandLineItem[] {
  const items: CommandLineItem[] = [];
  for (const known of commandLineOptions) {
    const option = new Option(known.flags, `${known.description}${known.supported ? "" : " (not supported yet)"}`);
    option.helpGroup(`Settings, [${known.section}]:`);
    if (known.optional) option.preset(known.constant);
    if (known.hidden) option.hideHelp();
    option.argParser((value: string) => {
      items.push({ setting: known.setting, value, option: `--${known.long}` });
      return value;
    });
    command.addOption(option);
  }
  return items;
}
