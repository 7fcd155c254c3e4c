/**
 * Conditions: [Match] and [TriggerMatch] decide whether a file, or a whole directory, counts; [Assert]
 * and [TriggerAssert] must hold.
 *
 * A condition that starts with `|` is a trigger, and `!` negates it. A section holds when all plain
 * conditions do and, where there are triggers, one of them does. [Match] sections must all hold; of
 * several [TriggerMatch] sections one suffices. Conditions are tried in order and only until the
 * section is decided, so that `Distribution=` can guard a comparison that makes no sense elsewhere.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import type { IniDocument, IniEntry, IniSection } from "./ini.ts";
import { notOneOf } from "./kind.ts";
import { effective } from "./merge.ts";
import { architectures, uefiArchitectures } from "./names.ts";
import { nearest } from "./problem.ts";
import { resolvePath } from "./paths.ts";
import { findSetting, settings } from "./settings.ts";
import { expandSpecifiers } from "./specifiers.ts";
import type { SpecifierPlace } from "./specifiers.ts";
import type { State } from "./state.ts";
import { versionMatches } from "./version.ts";

type Condition = (text: string, place: SpecifierPlace, state: State) => boolean;

/** Keys that only conditions have. */
const conditions: ReadonlyMap<string, Condition> = new Map<string, Condition>([
  [
    "PathExists",
    (text, place, state) =>
      text !== "" && state.files.status(resolvePath(place.workingDirectory, text.replaceAll("\0", ""))) !== undefined,
  ],
  [
    "SystemdVersion",
    (text, _place, { host }) =>
      text !== "" && host.systemdVersion !== undefined && versionMatches(text, host.systemdVersion),
  ],
  [
    "HostArchitecture",
    (text, _place, { host }) => {
      if (text === "uefi") return uefiArchitectures.includes(host.architecture);
      if (!architectures.includes(text)) throw notOneOf(text, architectures);
      return text === host.architecture;
    },
  ],
  ["Image", (text, _place, { image }) => text === (image ?? "main")],
]);

/** Every key that a condition may use. */
const matchKeys: readonly string[] = [
  ...settings.filter((setting) => setting.match !== undefined).map((setting) => setting.name),
  ...conditions.keys(),
];

/** Names of the sections that hold conditions. */
export const conditionSections: readonly string[] = ["Match", "TriggerMatch", "Assert", "TriggerAssert"];

/**
 * Whether the file counts. Failed assertions and conditions that cannot be read become errors.
 * `place` is that of the file, without a line.
 */
export function matches(document: IniDocument, place: SpecifierPlace, state: State): boolean {
  const held = (name: string): IniSection[] =>
    document.sections.filter((section) => section.name === name && !sectionHolds(section, place, state));
  const count = (name: string): number => document.sections.filter((section) => section.name === name).length;

  if (held("Match").length > 0) return false;
  const triggers = count("TriggerMatch");
  if (triggers > 0 && held("TriggerMatch").length === triggers) return false;

  const failed = held("Assert");
  const triggerAsserts = document.sections.filter((section) => section.name === "TriggerAssert");
  if (triggerAsserts.length > 0 && held("TriggerAssert").length === triggerAsserts.length)
    failed.push(...triggerAsserts.slice(0, 1));
  for (const section of failed) {
    state.problems.error({
      ...(place.file === undefined ? {} : { file: place.file }),
      line: section.line,
      code: "assertion-failed",
      message: `[${section.name}] does not hold: ${section.entries.map((entry) => `${entry.key}=${entry.value}`).join(", ")}`,
    });
  }
  return true;
}

function sectionHolds(section: IniSection, place: SpecifierPlace, state: State): boolean {
  let triggered: boolean | undefined;
  for (const entry of section.entries) {
    const trigger = entry.value.startsWith("|");
    const rest = trigger ? entry.value.slice(1) : entry.value;
    const negated = rest.startsWith("!");
    const result = conditionHolds(entry, negated ? rest.slice(1) : rest, section.name, place, state);
    if (result === undefined) return false;
    if (trigger) triggered = triggered === true || result !== negated;
    else if (result === negated) return false;
  }
  return triggered !== false;
}

/** undefined where the condition cannot be read. */
function conditionHolds(
  entry: IniEntry,
  raw: string,
  section: string,
  filePlace: SpecifierPlace,
  state: State,
): boolean | undefined {
  const place = { ...filePlace, line: entry.line };
  const { fileDirectory: _file, workingDirectory: _working, ...origin } = place;
  const setting = findSetting(entry.key);
  const condition = conditions.get(entry.key);
  if (setting?.match === undefined && condition === undefined) {
    const near = nearest(entry.key, matchKeys);
    state.problems.error({
      ...origin,
      code: "match-unknown",
      message: `${entry.key}= cannot stand in [${section}]`,
      hint: near === undefined ? `known there: ${matchKeys.join(", ")}` : `did you mean ${near}=?`,
    });
    return undefined;
  }
  const text = expandSpecifiers(raw, place, state);
  try {
    if (setting?.match === undefined) return condition?.(text, place, state);
    if (setting.name !== entry.key) warnOldName(entry.key, setting.name, origin, state);
    const { value } = effective(setting, state);
    return value !== null && setting.match(text, value);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    state.problems.error({
      ...origin,
      code: error.code,
      message: `${entry.key}=: ${error.message}`,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
    return undefined;
  }
}

/** Warns that a name is from an older version. */
export function warnOldName(
  old: string,
  name: string,
  origin: { readonly file?: string; readonly line?: number },
  state: State,
): void {
  state.problems.warn({ ...origin, code: "setting-renamed", message: `${old}= is called ${name}= today` });
}
