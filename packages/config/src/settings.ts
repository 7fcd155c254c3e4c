/**
 * The settings table: every setting, once. The parser, the command line, the summary, the defaults and
 * the manual derive from it.
 * @module
 */
import { optionName } from "./setting.ts";
import type { SectionName, SettingDefinition } from "./setting.ts";
import { bootSettings } from "./settings/boot.ts";
import { buildSettings } from "./settings/build.ts";
import { configSettings } from "./settings/config.ts";
import { contentSettings } from "./settings/content.ts";
import { distributionSettings } from "./settings/distribution.ts";
import { outputSettings } from "./settings/output.ts";
import { partitionSettings } from "./settings/partitions.ts";
import { runtimeSettings } from "./settings/runtime.ts";
import { validationSettings } from "./settings/validation.ts";
import { legacyOptions } from "./settings/legacy.ts";

export const settings: readonly SettingDefinition[] = [
  ...configSettings,
  ...distributionSettings,
  ...outputSettings,
  ...partitionSettings,
  ...contentSettings,
  ...bootSettings,
  ...validationSettings,
  ...buildSettings,
  ...runtimeSettings,
];

/** The sections, in the order of a summary. */
export const sectionNames: readonly SectionName[] = [...new Set(settings.map((setting) => setting.section))];

const byName: ReadonlyMap<string, SettingDefinition> = new Map(
  settings.flatMap((setting) => [setting.name, ...(setting.aliases ?? [])].map((name) => [name, setting] as const)),
);
const bySpecifier: ReadonlyMap<string, SettingDefinition> = new Map(
  settings.flatMap((setting) => (setting.specifier === undefined ? [] : [[setting.specifier, setting] as const])),
);

/** All names that a file may use, old ones included. */
export const settingNames: readonly string[] = [...byName.keys()];

/** The setting with this name, of today or of an older version. */
export function findSetting(name: string): SettingDefinition | undefined {
  return byName.get(name);
}

/** The setting that a specifier stands for: "d" is Distribution. */
export function settingOfSpecifier(letter: string): SettingDefinition | undefined {
  return bySpecifier.get(letter);
}

/** One option of the command line, for a command-line library. */
export interface CommandLineOption {
  /** The setting that it assigns. */
  readonly setting: string;
  /** As commander writes it: `-p, --package <PACKAGE>`. */
  readonly flags: string;
  readonly short: string | undefined;
  readonly long: string;
  readonly argument: string;
  /** The argument may be left out, and then means `constant`. */
  readonly optional: boolean;
  readonly constant: string;
  /** May be given several times. */
  readonly repeatable: boolean;
  readonly choices: readonly string[] | undefined;
  readonly description: string;
  readonly section: SectionName;
  readonly supported: boolean;
  /** Left out of help texts: an old name, or something with a better way to say it. */
  readonly hidden: boolean;
}

const settingOptions: readonly CommandLineOption[] = settings.flatMap((setting) =>
  [optionName(setting), ...(setting.option?.aliases ?? [])].map((long, index) => {
    const short = index === 0 ? setting.option?.short : undefined;
    const argument = setting.option?.argument ?? "VALUE";
    const optional = setting.option?.optional === true;
    const shown = optional ? `[${argument.replace(/[[\]]/g, "")}]` : `<${argument.replace(/[[\]<>]/g, "")}>`;
    return {
      setting: setting.name,
      flags: `${short === undefined ? "" : `-${short}, `}--${long} ${shown}`,
      short,
      long,
      argument,
      optional,
      constant: setting.option?.constant ?? "yes",
      repeatable: setting.kind.shape !== "scalar",
      choices: setting.kind.choices,
      description: setting.help,
      section: setting.section,
      supported: setting.supported,
      hidden: index > 0 || setting.option?.hidden === true,
    };
  }),
);

/** Those of the first mkosi, as further ways to say what an option of today says. */
const oldOptions: readonly CommandLineOption[] = legacyOptions.flatMap(({ long, setting, value }) => {
  const today = settingOptions.find((option) => option.setting === setting && !option.hidden);
  if (today === undefined) return [];
  const flags = value === undefined ? `--${long} <${today.argument}>` : `--${long}`;
  const constant = value ?? today.constant;
  return [{ ...today, flags, short: undefined, long, optional: value !== undefined, constant, hidden: true }];
});

/** Every option that assigns a setting, in the order of the table; each old name is one more, hidden. */
export const commandLineOptions: readonly CommandLineOption[] = [...settingOptions, ...oldOptions];
