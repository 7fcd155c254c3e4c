/**
 * Kinds of setting: how a text becomes a value, what an unset one is, and how [Match] compares it.
 * Values are plain JSON in the form of `mkosi --json summary`, so that a summary needs no conversion.
 * @module
 */
import { ConfigError, splitWords } from "@imgtool/core";
import type { ConfigFiles } from "./files.ts";
import { nearest } from "./problem.ts";

export type SettingValue =
  | string
  | number
  | boolean
  | null
  | readonly SettingValue[]
  | { readonly [key: string]: SettingValue };

/** What a kind may look at while it reads a text. */
export interface KindContext {
  readonly files: ConfigFiles;
  /** Relative paths start here. Absolute. */
  readonly workingDirectory: string;
  /** Environment variables: $NAME in paths, NAME without a value in Environment=. */
  readonly environment: Readonly<Record<string, string>>;
  /** The file is of the first mkosi, whose lists also split at white space. */
  readonly legacy: boolean;
}

/** Reads one value. Throws ConfigError. */
export type ValueParser = (text: string, context: KindContext) => SettingValue;

interface KindBase {
  /** What to write, for messages and manuals: "yes or no". */
  readonly form: string;
  readonly choices?: readonly string[];
  /** The value where nothing is set and the setting has no default. */
  readonly unset: SettingValue;
}

export interface ScalarKind extends KindBase {
  readonly shape: "scalar";
  /** `old` is the value before, for the few kinds that combine the two. */
  readonly parse: (text: string, context: KindContext, old: SettingValue | undefined) => SettingValue;
  /** An empty text keeps the old value instead of going back to the default. */
  readonly keepsOnEmpty?: true;
}

export interface ListKind extends KindBase {
  readonly shape: "list";
  readonly item: ValueParser;
  /** The items of one line of a value. */
  readonly split: (line: string, context: KindContext) => readonly string[];
  /** Texts that stand for a whole list, taking the place of everything before: `SplitArtifacts=yes`. */
  readonly whole?: (text: string) => readonly SettingValue[] | undefined;
  /** An empty text adds nothing, instead of discarding what is there. */
  readonly keepsOnEmpty?: true;
}

export interface DictionaryKind extends KindBase {
  readonly shape: "dictionary";
  readonly split: (text: string) => readonly string[];
  readonly item: (text: string, context: KindContext) => readonly [key: string, value: string];
  /** Reads a text that is the name of a file or directory instead of pairs. */
  readonly fromPath?: (path: string, context: KindContext) => ReadonlyMap<string, string>;
}

export type Kind = ScalarKind | ListKind | DictionaryKind;

export function scalar(
  form: string,
  parse: ScalarKind["parse"],
  extra: { unset?: SettingValue; choices?: readonly string[]; keepsOnEmpty?: true } = {},
): ScalarKind {
  return { shape: "scalar", form, parse, unset: null, ...extra };
}

export interface ListOptions {
  /** Besides line ends. Default: a comma. */
  readonly separator?: "," | " ";
  /** Words with shell quoting. */
  readonly quoted?: boolean;
  readonly keepsOnEmpty?: true;
  readonly whole?: ListKind["whole"];
}

export function list(form: string, item: ValueParser, options: ListOptions = {}): ListKind {
  const separator = options.separator ?? ",";
  return {
    shape: "list",
    form: `list of: ${form}`,
    unset: [],
    item,
    split: (line, context) =>
      options.quoted === true
        ? splitWords(line, `\n${separator}`)
        : line.split(context.legacy ? /[\s,]+/ : separator === "," ? /[,\n]/ : /[ \n]/),
    ...(options.keepsOnEmpty === undefined ? {} : { keepsOnEmpty: options.keepsOnEmpty }),
    ...(options.whole === undefined ? {} : { whole: options.whole }),
  };
}

const booleans: Readonly<Record<string, boolean>> = Object.assign(Object.create(null), {
  ...Object.fromEntries(["1", "true", "yes", "y", "t", "on", "always"].map((word) => [word, true])),
  ...Object.fromEntries(["0", "false", "no", "n", "f", "off", "never"].map((word) => [word, false])),
});

/** true, false, or undefined for a text that is neither. */
export function booleanOf(text: string): boolean | undefined {
  return booleans[text.toLowerCase()];
}

/** A plain value as text: "" for null and for what has parts. */
export function textOf(value: SettingValue): string {
  return typeof value === "object" ? "" : String(value);
}

/** The error for a text that is none of the words. */
export function notOneOf(text: string, words: readonly string[]): ConfigError {
  const near = nearest(text, words);
  return new ConfigError(`cannot be ${shown(text)}`, {
    code: "value-invalid",
    hint: near === undefined ? `use one of ${words.join(", ")}` : `did you mean ${near}? Known: ${words.join(", ")}`,
    data: { expected: words, found: shorten(text) },
  });
}

/** The error for a text of the wrong form. */
export function notA(text: string, form: string): ConfigError {
  return new ConfigError(`expected ${form}, found ${shown(text)}`, {
    code: "value-invalid",
    data: { expected: form, found: shorten(text) },
  });
}

/** A text in quotes for a message, cut where it would fill the screen. */
export function shown(text: string): string {
  return JSON.stringify(shorten(text));
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
