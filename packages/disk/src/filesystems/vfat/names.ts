/**
 * Names in a FAT directory: the long name in UTF-16 and the alias of 8 + 3 characters that each entry
 * has besides (Microsoft's FAT specification, "Long File Names" and "The Basis-Name Generation
 * Algorithm"). As Linux's vfat, a name that is not all upper case gets a long name, whatever its length.
 * @module
 */

/** Names of one entry. */
export interface FatName {
  /** UTF-16; undefined where the alias says it all. */
  readonly long: string | undefined;
  /** 11 characters, padded with blanks. */
  readonly alias: string;
}

const longestName = 255;
const unitsPerSlot = 13;
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const aliasCharacter = /[A-Z0-9$%'\-_@~`!(){}^#&]/;

/** Thrown for what FAT cannot hold; the caller knows the path. */
export class FatLimit extends Error {}

/**
 * A name's text.
 * @throws FatLimit that completes the sentence "… cannot be in a FAT file system: "
 */
export function decodeFatName(name: Uint8Array): string {
  let text: string;
  try {
    text = utf8.decode(name);
  } catch {
    throw new FatLimit("its name is not UTF-8");
  }
  for (const character of text)
    if (character < " " || character === "\u007f" || '"*/:<>?\\|'.includes(character))
      throw new FatLimit(`its name has the character ${JSON.stringify(character)}`);
  if (text.endsWith(".") || text.endsWith(" ")) throw new FatLimit("its name ends in a dot or a blank");
  if (text.length > longestName)
    throw new FatLimit(`its name has ${text.length} UTF-16 units, at most ${longestName} fit`);
  return text;
}

/** The form in which two names are one: upper case, unit by unit, as drivers compare. */
export function foldFatName(text: string): string {
  let folded = "";
  for (const character of text) {
    const upper = character.toUpperCase();
    folded += upper.length === character.length ? upper : character;
  }
  return folded;
}

/** Slots of 32 bytes an entry takes. */
export function slotsOf({ long }: FatName): number {
  return 1 + (long === undefined ? 0 : Math.ceil(long.length / unitsPerSlot));
}

interface Basis {
  readonly base: string;
  readonly extension: string;
  /** The name is its alias, but for upper and lower case. */
  readonly exact: boolean;
}

function basisOf(text: string): Basis {
  const dot = text.lastIndexOf(".");
  const parts = dot > 0 ? [text.slice(0, dot), text.slice(dot + 1)] : [text, ""];
  let lossless = true;
  const clean = (part: string): string => {
    let cleaned = "";
    for (const character of part.replaceAll(/[ .]/g, "")) {
      const upper = character >= "a" && character <= "z" ? character.toUpperCase() : character;
      cleaned += aliasCharacter.test(upper) ? upper : "_";
      if (!aliasCharacter.test(upper)) lossless = false;
    }
    if (cleaned.length !== part.length) lossless = false;
    return cleaned;
  };
  const [base = "", extension = ""] = parts.map(clean);
  const exact = lossless && base.length > 0 && base.length <= 8 && extension.length <= 3;
  return { base: base === "" ? "_" : base, extension: extension.slice(0, 3).padEnd(3), exact };
}

/**
 * Names for the entries of a directory, in their order; names must differ by `foldFatName`.
 * The same names give the same aliases, whatever their order.
 */
export function makeFatNames(texts: readonly string[]): FatName[] {
  const bases = texts.map(basisOf);
  const taken = new Set<string>();
  const aliases: (string | undefined)[] = bases.map(({ base, extension, exact }) => {
    if (!exact) return undefined;
    const alias = base.padEnd(8) + extension;
    taken.add(alias);
    return alias;
  });
  // Where the search for a number goes on: many long names begin alike.
  const next = new Map<string, number>();
  const order = texts.map((_, index) => index).filter((index) => aliases[index] === undefined);
  order.sort((a, b) => ((texts[a] as string) < (texts[b] as string) ? -1 : 1));
  for (const index of order) {
    const { base, extension } = bases[index] as Basis;
    const key = base.slice(0, 6) + extension;
    for (let number = next.get(key) ?? 1; ; number++) {
      const tail = `~${number}`;
      const alias = (base.slice(0, 8 - tail.length) + tail).padEnd(8) + extension;
      if (taken.has(alias)) continue;
      taken.add(alias);
      next.set(key, number + 1);
      aliases[index] = alias;
      break;
    }
  }
  return texts.map((text, index) => {
    const alias = aliases[index] as string;
    const shown = [alias.slice(0, 8).trimEnd(), alias.slice(8).trimEnd()].filter(Boolean).join(".");
    return { long: shown === text ? undefined : text, alias };
  });
}

/** The name's slots but the last: the long name, its end first. */
export function encodeLongName({ long = "", alias }: FatName): Uint8Array {
  const slots = Math.ceil(long.length / unitsPerSlot);
  const bytes = new Uint8Array(slots * 32);
  const view = new DataView(bytes.buffer);
  let checksum = 0;
  for (const character of alias) checksum = (((checksum & 1) << 7) + (checksum >> 1) + character.charCodeAt(0)) & 0xff;
  const places = [1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30];
  for (let slot = 0; slot < slots; slot++) {
    const at = (slots - 1 - slot) * 32;
    bytes[at] = (slot + 1) | (slot === slots - 1 ? 0x40 : 0);
    bytes[at + 11] = 0x0f;
    bytes[at + 13] = checksum;
    for (const [index, place] of places.entries()) {
      const unit = slot * unitsPerSlot + index;
      const value = unit < long.length ? long.charCodeAt(unit) : unit === long.length ? 0 : 0xffff;
      view.setUint16(at + place, value, true);
    }
  }
  return bytes;
}
