/**
 * The kinds of plain values: texts, switches, numbers, words of a set.
 * @module
 */
import { ConfigError, splitWords } from "@imgtool/core";
import { booleanOf, list, notA, notOneOf, scalar, shown } from "./kind.ts";
import type { DictionaryKind, ListKind, ListOptions, ScalarKind, SettingValue, ValueParser } from "./kind.ts";
import { compareVersions } from "./version.ts";

export const text: ScalarKind = scalar("text", (value) => value);

/** yes or no; unset is no. */
export const boolean: ScalarKind = scalar(
  "yes or no",
  (value) => {
    const read = booleanOf(value);
    if (read === undefined) throw notA(value, "yes or no");
    return read;
  },
  { unset: false },
);

/** yes, no or auto, kept under mkosi's names enabled, disabled and auto. */
export const feature: ScalarKind = scalar("yes, no or auto", (value) => featureOf(value), { unset: "auto" });

/** As `feature`, with further words of its own. */
export function featureOr(...words: readonly string[]): ScalarKind {
  return scalar(`yes, no, auto or ${words.join(", ")}`, (value) => (words.includes(value) ? value : featureOf(value)), {
    unset: "auto",
    choices: ["yes", "no", "auto", ...words],
  });
}

/** @throws ConfigError when the text is no feature */
export function featureOf(value: string): string {
  if (value === "auto" || value === "enabled" || value === "disabled") return value;
  const read = booleanOf(value);
  if (read === undefined) throw notA(value, "yes, no or auto");
  return read ? "enabled" : "disabled";
}

export interface ChoiceOptions {
  /** Other spellings, and what they stand for. */
  readonly aliases?: Readonly<Record<string, string>>;
  /** What yes and no stand for. */
  readonly yes?: string;
  readonly no?: string;
}

/** One word of a set. */
export function choice(words: readonly string[], options: ChoiceOptions = {}): ScalarKind {
  return scalar(`one of ${words.join(", ")}`, choiceParser(words, options), { choices: words });
}

/** The parser of `choice`, for the items of lists. */
export function choiceParser(words: readonly string[], options: ChoiceOptions = {}): (value: string) => string {
  const aliases = new Map(Object.entries(options.aliases ?? {}));
  return (value) => {
    if (words.includes(value)) return value;
    const alias = aliases.get(value);
    if (alias !== undefined) return alias;
    if (options.yes !== undefined && options.no !== undefined) {
      const read = booleanOf(value);
      if (read !== undefined) return read ? options.yes : options.no;
    }
    throw notOneOf(value, words);
  };
}

/** Whole numbers from `least` to `most`. */
export function integer(least: number = Number.MIN_SAFE_INTEGER, most: number = Number.MAX_SAFE_INTEGER): ScalarKind {
  return scalar("a whole number", (value) => {
    const number = /^\s*[+-]?\d+\s*$/.test(value) ? Number(value) : Number.NaN;
    if (!Number.isSafeInteger(number)) throw notA(value, "a whole number");
    if (number < least) throw new ConfigError(`${number} is too small, the least is ${least}`, { code: "value-range" });
    if (number > most) throw new ConfigError(`${number} is too large, the most is ${most}`, { code: "value-range" });
    return number;
  });
}

/** Sizes in bytes, with K, M or G for powers of 1024; rounded up to 4096 as mkosi does. */
export const bytes: ScalarKind = scalar("a size such as 512M or 2G", (value) => sizeOf(value));

/** @throws ConfigError when the text is no size */
function sizeOf(value: string): number {
  const match = /^(\d+(?:\.\d*)?|\.\d+)([KMGT]?)$/.exec(value);
  const factor = { "": 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 }[match?.[2] ?? ""] ?? 1;
  const size = Math.ceil(Number(match?.[1] ?? Number.NaN) * factor);
  if (!Number.isSafeInteger(size + 4096) || size <= 0) throw notA(value, "a size such as 512M or 2G");
  return Math.ceil(size / 4096) * 4096;
}

/** Permission bits in octal, up to 1777. */
export const mode: ScalarKind = scalar("access mode in octal", (value) => {
  const number = /^(0o)?[0-7]+$/.test(value) ? Number.parseInt(value.replace("0o", ""), 8) : Number.NaN;
  if (!(number <= 0o1777)) throw notA(value, "an access mode in octal, at most 1777");
  return number;
});

/** UUIDs in any usual spelling; the word random makes a new one. */
export const uuid: ScalarKind = scalar("a UUID", (value) => {
  if (value === "random") return globalThis.crypto.randomUUID();
  if (value.length > 64) throw notA(value, "a UUID");
  const digits = value.replace(/urn:|uuid:/g, "").replace(/^[{}]+|[{}]+$|-/g, "");
  if (!/^[0-9a-f]{32}$/i.test(digits)) throw notA(value, "a UUID");
  return digits.toLowerCase().replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
});

/** A file name without folders. `what` is the setting that belongs to the folder. */
export function fileName(hint: string): ScalarKind {
  return scalar("a file name", (value) => fileNameOf(value, hint));
}

/** @throws ConfigError when the text has a slash or is "." or ".." */
export function fileNameOf(value: string, hint: string): string {
  const name = value.trim();
  if (name === "." || name === ".." || name.includes("/") || name.includes("\0"))
    throw new ConfigError(`not a plain file name: ${shown(value)}`, { code: "value-invalid", hint });
  return value;
}

/** 512, 1024, 2048 or 4096. */
export const sectorSize: ScalarKind = scalar("512, 1024, 2048 or 4096", (value) => {
  const size = Number(value);
  if (![512, 1024, 2048, 4096].includes(size)) throw notA(value, "512, 1024, 2048 or 4096");
  return size;
});

/** Several assignments keep the newest version. */
export const minimumVersion: ScalarKind = scalar(
  "a version",
  (value, _context, old) => (typeof old === "string" && compareVersions(old, value) > 0 ? old : value),
  { keepsOnEmpty: true },
);

/** file, engine:NAME or provider:NAME, as an object of the two parts. */
export function keySource(types: readonly string[]): ScalarKind {
  return scalar(
    types.map((type) => (type === "file" ? type : `${type}:NAME`)).join(" or "),
    (value) => {
      const colon = value.indexOf(":");
      const type = colon < 0 ? value : value.slice(0, colon);
      if (!types.includes(type)) throw notOneOf(type, types);
      return { Type: type, Source: colon < 0 ? "" : value.slice(colon + 1) };
    },
    { keepsOnEmpty: true },
  );
}

/** The password and whether it is a crypt(5) hash already. */
export const rootPassword: ScalarKind = scalar("a password, or hashed: and a crypt(5) hash", (value) => {
  const trimmed = value.trim();
  return trimmed.startsWith("hashed:") ? [trimmed.slice("hashed:".length), true] : [trimmed, false];
});

/** A number from 3, auto (-1) or hash (-2). */
export const vsockConnection: ScalarKind = scalar("a number from 3, auto or hash", (value, context) => {
  if (value === "auto") return -1;
  if (value === "hash") return -2;
  return integer(3, 0xfffffffe).parse(value, context, undefined);
});

const plain: ValueParser = (value) => value;

/** Texts, by default separated by commas. */
export function texts(form: string, options: ListOptions = {}): ListKind {
  return list(form, plain, options);
}

/** Words of a set. */
export function choices(words: readonly string[], options: ListOptions & ChoiceOptions = {}): ListKind {
  return { ...list(words.join(", "), choiceParser(words, options), options), choices: words };
}

/** NAME=VALUE words with shell quoting. A name alone takes its value from `missing`. */
export function pairs(
  missing: (name: string, environment: Readonly<Record<string, string>>) => string,
  fromPath?: DictionaryKind["fromPath"],
): DictionaryKind {
  return {
    shape: "dictionary",
    form: "NAME=VALUE words",
    unset: {},
    split: (value) => splitWords(value, "\n "),
    item: (word, context) => pairOf(word, (name) => missing(name, context.environment)),
    ...(fromPath === undefined ? {} : { fromPath }),
  };
}

/** The two sides of the first equals sign, trimmed. */
export function pairOf(word: string, missing: (name: string) => string): [string, string] {
  const equals = word.indexOf("=");
  const name = (equals < 0 ? word : word.slice(0, equals)).trim();
  return [name, equals < 0 ? missing(name) : word.slice(equals + 1).trim()];
}

/** `ID:SIZE[:DIRECTORY[:OPTIONS[:FILE_ID]]]`, as an object of the parts. */
export function driveOf(value: string, directory: ValueParser, context: Parameters<ValueParser>[1]): SettingValue {
  const [id = "", size = "", folder = "", options = "", fileId = ""] = value.split(":");
  if (id === "" || size === "") throw notA(value, "ID:SIZE, optionally with :DIRECTORY:OPTIONS:FILE_ID");
  return {
    Id: fileNameOf(id, "the drive's name comes first"),
    Size: sizeOf(size),
    Directory: folder === "" ? null : directory(folder, context),
    Options: options === "" ? null : options,
    FileId: fileId === "" ? id : fileId,
  };
}
