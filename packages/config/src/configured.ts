/**
 * What configure scripts print: settings in the form of a summary, which take the place of those that the
 * files and the command line gave.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { notA, type Kind, type KindContext, type SettingValue } from "./kind.ts";
import { effective, settingHint } from "./merge.ts";
import { findSetting } from "./settings.ts";
import { formatName } from "./settings/output.ts";
import { ProblemList } from "./problem.ts";
import type { SettingDefinition } from "./setting.ts";
import type { State } from "./state.ts";
import { profilesSetting, readUkiProfiles, summaryProfiles } from "./uki-profiles.ts";

/** The settings of one image as its configure scripts left them. */
export interface ConfiguredImage {
  /** Name of the sub-image, undefined for the main image. */
  readonly image: string | undefined;
  /** The last of its scripts, for messages. */
  readonly script: string;
  readonly settings: Readonly<Record<string, SettingValue>>;
}

/** Assigns what differs from the settings as they are. What cannot be taken becomes a problem of the script. */
export function assignConfigured({ script, settings }: ConfiguredImage, state: State): void {
  const origin = { file: script };
  const context: KindContext = {
    files: state.files,
    workingDirectory: state.directory,
    environment: state.environment,
    legacy: false,
  };
  for (const [name, value] of Object.entries(settings)) {
    // Of a summary, and no settings.
    if (name === "Files" || name === "Image") continue;
    const setting = findSetting(name);
    if (setting === undefined) {
      const hint = settingHint(name);
      const problem = { ...origin, code: "setting-unknown", message: `unknown setting ${name}=` };
      state.problems.error(hint === undefined ? problem : { ...problem, hint });
      continue;
    }
    const former = formerValue(setting, state);
    if (isSame(value, former) || (name === "Format" && value === formatName(former))) continue;
    try {
      const read = readValue(setting.kind, value, context);
      const count = typeof read === "object" && read !== null ? Object.keys(read).length : 1;
      state.commandLine.set(name, { value: read, origins: Array.from({ length: count }, () => origin) });
      state.emptiedByCommandLine.add(name);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      const problem = { ...origin, code: error.code, message: `${name}=: ${error.message}` };
      state.problems.error(error.hint === undefined ? problem : { ...problem, hint: error.hint });
    }
  }
}

/** The value as the script was given it. */
function formerValue(setting: SettingDefinition, state: State): SettingValue {
  const { value, origins } = effective(setting, state);
  if (setting.name !== profilesSetting || !Array.isArray(value)) return value;
  // What is wrong in them was said already.
  const quiet = { ...state, problems: new ProblemList() };
  return summaryProfiles(readUkiProfiles(value.map(String), origins, quiet));
}

/** The value as the setting's kind reads its text: what a script prints is checked as what a file says is. */
function readValue(kind: Kind, value: SettingValue, context: KindContext): SettingValue {
  if (value === null) return kind.unset;
  if (kind.shape === "list") {
    if (!Array.isArray(value)) throw notA(JSON.stringify(value), kind.form);
    return value.map((item: SettingValue) => kind.item(textOfParts(item), context));
  }
  if (kind.shape === "dictionary") {
    if (typeof value !== "object" || Array.isArray(value)) throw notA(JSON.stringify(value), kind.form);
    if (Object.values(value).some((item) => typeof item !== "string")) throw notA(JSON.stringify(value), kind.form);
    return value;
  }
  const read = kind.parse(textOfParts(value), context, undefined);
  // A number or a truth value must be what its text means.
  if (typeof value !== "string" && typeof read !== "object" && read !== value)
    throw notA(JSON.stringify(value), kind.form);
  return read;
}

/** As it is written in a file: the parts of a tree, a key's source or a drive with colons between them. */
function textOfParts(value: SettingValue): string {
  if (typeof value !== "object" || value === null) return String(value);
  if (!Array.isArray(value))
    return Object.values(value)
      .filter((part) => part !== null)
      .map((part) => textOfParts(part))
      .join(":");
  // A password, and whether it is hashed.
  const [password = "", isHashed]: readonly SettingValue[] = value;
  return `${isHashed === true ? "hashed:" : ""}${textOfParts(password)}`;
}

function isSame(a: SettingValue, b: SettingValue): boolean {
  return canonical(a) === canonical(b);
}

/** JSON with the keys of objects in order: a script may print them in another. */
function canonical(value: SettingValue): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
