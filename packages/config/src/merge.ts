/**
 * How assignments add up. Within a layer the last scalar wins and collections grow; an empty text goes
 * back to the default, or empties a collection for good. Between the layers the command line's scalar
 * wins and its items come after those of the files, unless the command line emptied the collection.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import type { DictionaryKind, KindContext, ListKind, SettingValue } from "./kind.ts";
import { nearest } from "./problem.ts";
import type { Origin, ProblemList } from "./problem.ts";
import type { SettingDefinition } from "./setting.ts";
import { findSetting, settingNames } from "./settings.ts";
import type { Held, Layer, State } from "./state.ts";

/** One `Setting=text`; the text's lines each have an origin. */
export interface Assignment {
  readonly text: string;
  readonly origins: readonly Origin[];
}

/** Adds an assignment to a layer. A text that cannot be read becomes a problem and changes nothing. */
export function assign(
  layer: Layer,
  setting: SettingDefinition,
  assignment: Assignment,
  context: KindContext,
  problems: ProblemList,
): void {
  const { kind } = setting;
  const old = layer.get(setting.name);
  const first = assignment.origins[0] ?? {};
  const attempt = <T>(origin: Origin, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      problems.error({
        ...origin,
        code: error.code,
        message: `${setting.name}=: ${error.message}`,
        ...(error.hint === undefined ? {} : { hint: error.hint }),
      });
      return undefined;
    }
  };

  if (assignment.text === "" && kind.shape !== "dictionary" && kind.keepsOnEmpty === true) return;
  if (assignment.text === "") {
    layer.set(setting.name, undefined);
    return;
  }
  if (kind.shape === "scalar") {
    const value = attempt(first, () => kind.parse(assignment.text, context, old?.value));
    if (value !== undefined) layer.set(setting.name, { value, origins: [first] });
    return;
  }
  const added =
    kind.shape === "list"
      ? readList(kind, assignment, context, attempt)
      : readDictionary(kind, assignment, context, attempt);
  if (added.reset) layer.delete(setting.name);
  const base = added.reset ? undefined : old;
  layer.set(setting.name, base === undefined ? added : join(base, added));
}

type Attempt = <T>(origin: Origin, read: () => T) => T | undefined;
interface Added extends Held {
  /** What was there before does not count. */
  readonly reset?: boolean;
}

function readList(kind: ListKind, assignment: Assignment, context: KindContext, attempt: Attempt): Added {
  const whole = kind.whole?.(assignment.text);
  if (whole !== undefined) return { value: whole, origins: whole.map(() => assignment.origins[0] ?? {}), reset: true };
  const value: SettingValue[] = [];
  const origins: Origin[] = [];
  for (const [index, line] of assignment.text.split("\n").entries()) {
    const origin = assignment.origins[index] ?? assignment.origins[0] ?? {};
    for (const part of attempt(origin, () => kind.split(line, context)) ?? []) {
      if (part === "") continue;
      const item = attempt(origin, () => kind.item(part, context));
      if (item === undefined) continue;
      value.push(item);
      origins.push(origin);
    }
  }
  return { value, origins };
}

function readDictionary(kind: DictionaryKind, assignment: Assignment, context: KindContext, attempt: Attempt): Added {
  const first = assignment.origins[0] ?? {};
  const { fromPath } = kind;
  if (fromPath !== undefined && !assignment.text.includes("=")) {
    const found = attempt(first, () => fromPath(assignment.text, context)) ?? new Map<string, string>();
    return { value: Object.fromEntries(found), origins: [...found].map(() => first) };
  }
  const pairs = new Map<string, [value: string, origin: Origin]>();
  for (const [word, origin] of locatedWords(kind, assignment, attempt)) {
    if (word === "") continue;
    const pair = attempt(origin, () => kind.item(word, context));
    if (pair !== undefined) pairs.set(pair[0], [pair[1], origin]);
  }
  return {
    value: Object.fromEntries([...pairs].map(([key, [value]]) => [key, value])),
    origins: [...pairs.values()].map(([, origin]) => origin),
  };
}

/** The words line by line, so that each has its line; a quote that spans lines needs the text as a whole. */
function locatedWords(kind: DictionaryKind, assignment: Assignment, attempt: Attempt): [string, Origin][] {
  const first = assignment.origins[0] ?? {};
  try {
    return assignment.text
      .split("\n")
      .flatMap((line, index) =>
        kind.split(line).map((word): [string, Origin] => [word, assignment.origins[index] ?? first]),
      );
  } catch {
    return (attempt(first, () => kind.split(assignment.text)) ?? []).map((word) => [word, first]);
  }
}

/** A collection with another after it. */
function join(base: Held, added: Held): Held {
  if (Array.isArray(base.value) && Array.isArray(added.value))
    return { value: [...base.value, ...added.value], origins: [...base.origins, ...added.origins] };
  const keys = new Map<string, [SettingValue, Origin]>();
  for (const held of [base, added]) {
    if (typeof held.value !== "object" || held.value === null) continue;
    for (const [index, [key, value]] of Object.entries(held.value).entries())
      keys.set(key, [value, held.origins[index] ?? {}]);
  }
  return {
    value: Object.fromEntries([...keys].map(([key, [value]]) => [key, value])),
    origins: [...keys.values()].map(([, origin]) => origin),
  };
}

/** A setting's value as it stands, with `isDefault` where nothing assigned it. */
export interface Effective extends Held {
  readonly isDefault: boolean;
}

/** The value that the layers and the default amount to now. */
export function effective(setting: SettingDefinition, state: State): Effective {
  const { name, kind } = setting;
  const above = state.commandLine.get(name);
  const below = state.config.get(name);
  if (above !== undefined) {
    if (below === undefined || kind.shape === "scalar" || state.emptiedByCommandLine.has(name))
      return { ...above, isDefault: false };
    return { ...join(below, above), isDefault: false };
  }
  if (!state.commandLine.has(name) && below !== undefined) return { ...below, isDefault: false };
  // Emptied: a collection stays empty, a scalar goes back to its default.
  if ((state.commandLine.has(name) || state.config.has(name)) && kind.shape !== "scalar")
    return { value: kind.unset, origins: [], isDefault: false };
  return { value: defaultOf(setting, state), origins: [], isDefault: true };
}

/** The resolved value of a setting by name. */
export function valueOf(name: string, state: State): SettingValue {
  const setting = findSetting(name);
  return setting === undefined ? null : effective(setting, state).value;
}

function defaultOf(setting: SettingDefinition, state: State): SettingValue {
  const known = state.defaults.get(setting.name);
  if (known !== undefined) return known;
  const value =
    typeof setting.default === "function"
      ? setting.default({
          host: state.host,
          environment: state.environment,
          files: state.files,
          directory: state.directory,
          image: state.image,
          value: (name) => valueOf(name, state),
        })
      : (setting.default ?? setting.kind.unset);
  state.defaults.set(setting.name, value);
  return value;
}

/** The hint for a name that is no setting. */
export function settingHint(name: string): string | undefined {
  const near = nearest(name, settingNames);
  return near === undefined ? undefined : `did you mean ${near}=?`;
}
