/**
 * Reads partition definition files: repart.d(5), the [Partition] section. Fields that imgtool cannot act
 * on are errors, not silence: an image without the encryption that was asked for would be a surprise.
 * @module
 */
import { ConfigError, parseSize, isUuid, splitWords } from "@imgtool/core";
import { compressing } from "./filesystems/compression.ts";
import type { CopyFiles, MakeSymlink, PartitionDefinition, Subvolume } from "./definitions.ts";
import { nearestName } from "./partition-types.ts";
import { Problems } from "./problems.ts";

export interface RepartWarning {
  /** With file and line. */
  readonly message: string;
  readonly line: number;
}

export interface ParseDefinitionOptions {
  /** Replaces specifiers ("%A") in a field's value; an error it throws is reported with file and line. */
  readonly expand?: (value: string, field: string) => string;
  /** Further files that are read after it, in order. */
  readonly dropIns?: readonly { readonly text: string; readonly file: string }[];
}

export interface ParsedDefinition {
  readonly definition: PartitionDefinition;
  readonly warnings: readonly RepartWarning[];
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };
type Draft = Mutable<Partial<PartitionDefinition>>;
/** Puts a value into the draft; throws an Error whose message says what was expected. */
type Setter = (draft: Draft, value: string) => void;

function choice<T extends string>(value: string, ...choices: readonly T[]): T {
  const found = choices.find((one) => one === value);
  if (found === undefined) throw new Error(`expected ${choices.join(", ")}`);
  return found;
}

function boolean(value: string): boolean {
  if (/^(?:1|yes|y|true|t|on)$/i.test(value)) return true;
  if (/^(?:0|no|n|false|f|off)$/i.test(value)) return false;
  throw new Error("expected yes or no");
}

function integer(minimum: number, maximum: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^[+-]?\d+$/.test(value) || number < minimum || number > maximum)
      throw new Error(`expected a whole number from ${minimum} to ${maximum}`);
    return number;
  };
}

// As systemd-repart: a minimum is rounded down to the grain, a maximum up.
const sizeDown = (value: string): number => Math.floor(sumOfSizes(value) / 4096) * 4096;
const sizeUp = (value: string): number => Math.ceil(sumOfSizes(value) / 4096) * 4096;
const words = (value: string): string[] => splitWords(value, " \t");
const weight = integer(0, 1_000_000);

/** `1G 512M`: sizes that are added, of falling units. */
function sumOfSizes(value: string): number {
  const terms = value.match(/[\d.]+\s*[A-Za-z]*/g) ?? [value];
  if (terms.join("").replace(/\s/g, "") !== value.replace(/\s/g, "")) return parseSize(value);
  // First, so that an error has the term as it was written.
  const sizes = terms.map((term) => parseSize(term));
  const units = terms.map((term) => parseSize(term.replace(/^[\d.]+/, "1")));
  if (units.some((unit, i) => i > 0 && unit >= (units[i - 1] ?? 0)))
    throw new Error("expected sizes of falling units: 1G 512M");
  return sizes.reduce((sum, size) => sum + size, 0);
}

function absolute(path: string): string {
  if (!path.startsWith("/")) throw new Error("expected an absolute path");
  return path;
}

/** One rule: blanks are part of its names, which may have escapes as C's strings have them. */
function copyRule(value: string): CopyFiles {
  const [source = "", target = source, ...rest] = value.split(":").map(unescape);
  if (rest.length > 0) throw new Error("expected SOURCE or SOURCE:TARGET");
  return { source: absolute(source), target: absolute(target), optional: "told" };
}

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", s: " ", "\\": "\\", '"': '"', "'": "'" };

/** What systemd's cunescape() knows of what names may need; `\x` gives a byte, several a character of UTF-8. */
function unescape(text: string): string {
  return text.replaceAll(/((?:\\x[0-9a-f]{2})+)|\\(.?)/gi, (whole, bytes: string | undefined, letter: string) => {
    const known = bytes === undefined ? escapes[letter] : Buffer.from(bytes.replaceAll(/\\x/gi, ""), "hex").toString();
    if (known === undefined || /[\0\u{FFFD}]/u.test(known)) throw new Error(`${whole} is no escape that is known`);
    return known;
  });
}

function symlinkRule(value: string): MakeSymlink {
  const colon = value.indexOf(":");
  if (colon < 1 || colon === value.length - 1) throw new Error("expected PATH:TARGET");
  return { path: absolute(value.slice(0, colon)), target: value.slice(colon + 1) };
}

function subvolumeRule(value: string): Subvolume {
  const [path = "", flags = "", ...rest] = value.split(":");
  if (rest.length > 0 || !/^(?:|ro)$/.test(flags)) throw new Error("expected PATH or PATH:ro");
  return { path: absolute(path), readOnly: flags === "ro" };
}

function copyBlocks(value: string): string {
  if (value === "auto")
    throw new Error("this copies the running system, which an image build must not depend on: name a file");
  return absolute(value);
}

const blockSizes: readonly number[] = [512, 1024, 2048, 4096];

/** Of a hash tree, in bytes. */
function blockSize(value: string): number {
  const size = sumOfSizes(value);
  if (!blockSizes.includes(size)) throw new Error(`expected one of ${blockSizes.join(", ")}`);
  return size;
}

function encryption(value: string): "off" | "key-file" {
  if (value === "off" || value === "key-file") return value;
  if (/^(?:tpm2|key-file\+tpm2)$/.test(value))
    throw new Error(
      "a TPM's key can be enrolled only on the machine that has it: use key-file here, and systemd-cryptenroll there",
    );
  return boolean(value) ? "key-file" : "off";
}

const fields: Readonly<Record<string, Setter>> = {
  Type: (draft, value) => (draft.type = value),
  Label: (draft, value) => (draft.label = value),
  UUID(draft, value) {
    if (value === "null") draft.uuid = "00000000-0000-0000-0000-000000000000";
    else if (isUuid(value)) draft.uuid = value;
    else throw new Error("expected a UUID");
  },
  Priority: (draft, value) => (draft.priority = integer(-(2 ** 31), 2 ** 31 - 1)(value)),
  Weight: (draft, value) => (draft.weight = weight(value)),
  PaddingWeight: (draft, value) => (draft.paddingWeight = weight(value)),
  SizeMinBytes: (draft, value) => (draft.sizeMin = sizeDown(value)),
  SizeMaxBytes: (draft, value) => (draft.sizeMax = sizeUp(value)),
  PaddingMinBytes: (draft, value) => (draft.paddingMin = sizeDown(value)),
  PaddingMaxBytes: (draft, value) => (draft.paddingMax = sizeUp(value)),
  Format: (draft, value) => (draft.format = value),
  VolumeLabel: (draft, value) => (draft.volumeLabel = value),
  CopyBlocks: (draft, value) => (draft.copyBlocks = copyBlocks(value)),
  CopyFiles: (draft, value) => (draft.copyFiles = [...(draft.copyFiles ?? []), copyRule(value)]),
  ExcludeFiles: (draft, value) => (draft.excludeFiles = [...(draft.excludeFiles ?? []), ...words(value).map(absolute)]),
  ExcludeFilesTarget: (draft, value) =>
    (draft.excludeFilesTarget = [...(draft.excludeFilesTarget ?? []), ...words(value).map(absolute)]),
  MakeSymlinks: (draft, value) =>
    (draft.makeSymlinks = [...(draft.makeSymlinks ?? []), ...words(value).map(symlinkRule)]),
  Subvolumes: (draft, value) => (draft.subvolumes = [...(draft.subvolumes ?? []), ...words(value).map(subvolumeRule)]),
  DefaultSubvolume: (draft, value) => (draft.defaultSubvolume = absolute(value)),
  MakeDirectories: (draft, value) =>
    (draft.makeDirectories = [...(draft.makeDirectories ?? []), ...words(value).map(absolute)]),
  Verity: (draft, value) => (draft.verity = choice(value, "off", "data", "hash", "signature")),
  Compression: (draft, value) => (draft.compression = value),
  CompressionLevel: (draft, value) => (draft.compressionLevel = integer(0, 22)(value)),
  VerityMatchKey: (draft, value) => (draft.verityMatchKey = value),
  VerityDataBlockSizeBytes: (draft, value) => (draft.verityDataBlockSize = blockSize(value)),
  VerityHashBlockSizeBytes: (draft, value) => (draft.verityHashBlockSize = blockSize(value)),
  Encrypt: (draft, value) => (draft.encrypt = encryption(value)),
  KeyFile: (draft, value) => (draft.keyFile = absolute(value)),
  Minimize(draft, value) {
    if (/^(?:off|guess|best)$/.test(value)) draft.minimize = choice(value, "off", "guess", "best");
    else draft.minimize = boolean(value) ? "best" : "off";
  },
  Flags(draft, value) {
    draft.flags = flagBits(value);
  },
  ReadOnly: (draft, value) => (draft.readOnly = boolean(value)),
  NoAuto: (draft, value) => (draft.noAuto = boolean(value)),
  GrowFileSystem: (draft, value) => (draft.growFileSystem = boolean(value)),
  SupplementFor: (draft, value) => (draft.supplementFor = value),
  SplitName: (draft, value) => (draft.splitName = value),
};

/** A number in the forms of systemd: hexadecimal, octal (0o17 or 017), binary, decimal. Bits below 48 are nobody's but the firmware's. */
function flagBits(value: string): bigint {
  const isNumber = /^(?:0x[0-9a-f]+|0o?[0-7]+|0b[01]+|[1-9]\d*|0)$/i.test(value);
  const bits = isNumber ? BigInt(value.replace(/^0(?=[0-7])/, "0o")) : -1n;
  if (bits < 0n || bits >= 1n << 64n) throw new Error("expected a number of 64 bits");
  return bits;
}

/** Fields that say something about later changes only, or whose meaning imgtool's output already has. */
const ignored = new Set(["EncryptedVolume", "FactoryReset", "MountPoint"]);

/** Fields whose request must not be passed over. */
const unsupported = new Set(["TPM2PCRs"]);

/**
 * Parses a definition file.
 * @param text the file's content
 * @param file its name, for messages
 * @throws ConfigError `definition-invalid` with file and line
 */
export function parseDefinition(text: string, file: string, options: ParseDefinitionOptions = {}): ParsedDefinition {
  const draft: Draft = { origin: file };
  const problems = new Problems();
  const warnings = [{ text, file }, ...(options.dropIns ?? [])].flatMap((source) =>
    readFields(draft, source, options, problems),
  );
  problems.throwAny();
  const { type } = draft;
  if (type === undefined)
    throw new ConfigError(`${file}: the section [Partition] has no Type=`, {
      code: "definition-invalid",
      data: { file },
    });
  // what a file system that can compress cannot do is an error later on: checkCompression()
  if (draft.compression !== undefined && !compressing.includes(draft.format ?? ""))
    warnings.push({
      message: `${file}: Compression= has no effect: of imgtool's formats only ${compressing.join(", ")} compress`,
      line: 1,
    });
  return { definition: { ...draft, type }, warnings };
}

/** Puts a file's fields into the draft, and what is wrong with their values into `problems`. */
function readFields(
  draft: Draft,
  { text, file }: { readonly text: string; readonly file: string },
  options: ParseDefinitionOptions,
  problems: Problems,
): RepartWarning[] {
  const warnings: RepartWarning[] = [];
  let section: string | undefined;
  for (const [line, content] of joinLines(text)) {
    const refuse = (message: string, hint?: string): never => {
      throw new ConfigError(`${file}:${line}: ${message}`, {
        code: "definition-invalid",
        ...(hint === undefined ? {} : { hint }),
        data: { file, line },
      });
    };
    const warn = (message: string): void => void warnings.push({ message: `${file}:${line}: ${message}`, line });
    const header = /^\[(.*)\]$/.exec(content);
    if (header !== null) {
      section = header[1];
      if (section !== "Partition" && section?.startsWith("X-") !== true) warn(`unknown section [${section ?? ""}]`);
      continue;
    }
    const equals = content.indexOf("=");
    if (equals < 1) refuse(`expected Field=value, found "${content}"`);
    if (section === undefined) refuse(`"${content}" stands before any section`, "begin the file with [Partition]");
    if (section !== "Partition") continue;
    const name = content.slice(0, equals).trim();
    const value = content.slice(equals + 1).trim();
    const set = Object.hasOwn(fields, name) ? fields[name] : undefined;
    if (name === "Label" && value === "") {
      // Not taken back: a partition without a name.
      draft.label = "";
    } else if (set !== undefined && value === "") {
      // As in all of systemd's files, an empty value takes back what was set before.
      delete draft[draftKey(name)];
    } else if (set !== undefined) {
      problems.attempt(() => {
        try {
          set(draft, options.expand?.(value, name) ?? value);
        } catch (error) {
          refuse(`${name}=${value}: ${error instanceof Error ? error.message : String(error)}`);
        }
      });
    } else if (ignored.has(name)) warn(`${name}= has no effect here`);
    else if (unsupported.has(name)) {
      if (!/^(?:|off|no)$/.test(value)) refuse(`${name}=${value}: imgtool cannot do this`);
    } else if (!name.startsWith("X-")) {
      const nearest = nearestName(name, [...Object.keys(fields), ...ignored, ...unsupported]);
      warn(`unknown field ${name}=${nearest === undefined ? "" : `: did you mean ${nearest}=?`}`);
    }
  }
  return warnings;
}

/** `SizeMinBytes` is kept as `sizeMin`. */
function draftKey(field: string): keyof Draft {
  if (field === "UUID") return "uuid";
  return `${field.charAt(0).toLowerCase()}${field.slice(1).replace(/Bytes$/, "")}` as keyof Draft;
}

/** Lines with content, comments left out, those that end in a backslash joined with the next. */
function* joinLines(text: string): Generator<[line: number, content: string]> {
  let start = 0;
  let joined = "";
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (/^[#;]/.test(line)) continue;
    if (joined === "") start = index + 1;
    if (line.endsWith("\\")) {
      joined += `${line.slice(0, -1)} `;
      continue;
    }
    const content = (joined + line).trim();
    joined = "";
    if (content !== "") yield [start, content];
  }
  if (joined.trim() !== "") yield [start, joined.trim()];
}
