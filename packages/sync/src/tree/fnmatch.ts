/**
 * Shell patterns against file names, as fnmatch(3) of POSIX.1-2024 with FNM_PERIOD and without
 * FNM_PATHNAME, on bytes: casync compares in the C locale, and names need not be text. Where POSIX
 * leaves the result open (a `[` that nothing closes, ranges that run backwards), it is glibc's.
 * @module
 */

const star = 0x2a;
const question = 0x3f;
const bracket = 0x5b;
const bracketEnd = 0x5d;
const backslash = 0x5c;
const period = 0x2e;
const hyphen = 0x2d;
const exclamation = 0x21;
const caret = 0x5e;
const colon = 0x3a;
const equals = 0x3d;

/**
 * Whether a name matches a pattern: `*`, `?`, `[a-z]`, `[!a-z]`, `[[:digit:]]`, and `\` before a byte
 * that stands for itself. A period at the beginning is matched by a period only.
 */
export function fnmatch(pattern: Uint8Array, name: Uint8Array): boolean {
  let p = 0;
  let n = 0;
  // Where to go on when what follows the last star does not fit: the star takes one byte more.
  let starAt = -1;
  let retryAt = 0;
  for (;;) {
    const step = p < pattern.length ? matchOne(pattern, p, name, n) : n === name.length ? accepted : mismatch;
    if (step === accepted) return true;
    if (step === impossible) return false;
    if (step >= 0) {
      if (pattern[p] === star) {
        starAt = p;
        retryAt = n;
      } else {
        n++;
      }
      p = step;
    } else {
      if (starAt < 0 || retryAt >= name.length) return false;
      p = starAt + 1;
      n = ++retryAt;
    }
  }
}

const accepted = -1;
const mismatch = -2;
/** The pattern matches nothing at all. */
const impossible = -3;

/** Where the pattern goes on behind its element at p, when that takes the byte at n; or why it does not. */
function matchOne(pattern: Uint8Array, p: number, name: Uint8Array, n: number): number {
  const symbol = pattern[p];
  const byte = name[n];
  const isHidden = n === 0 && byte === period;
  if (symbol === star) return isHidden ? mismatch : p + 1;
  if (byte === undefined) return mismatch;
  switch (symbol) {
    case question:
      return isHidden ? mismatch : p + 1;
    case backslash:
      return pattern[p + 1] === byte ? p + 2 : mismatch;
    case bracket: {
      const set = matchSet(pattern, p, byte);
      if (set === undefined) return byte === bracket ? p + 1 : mismatch;
      if (set.isImpossible) return impossible;
      return set.matches && !isHidden ? set.end : mismatch;
    }
    default:
      return symbol === byte ? p + 1 : mismatch;
  }
}

interface SetMatch {
  readonly matches: boolean;
  /** Behind the closing bracket. */
  readonly end: number;
  readonly isImpossible?: boolean;
}

/** A set that names a class or symbol which there is not. */
const noSet: SetMatch = { matches: false, end: -1, isImpossible: true };

/** Matches a byte with the bracket expression at `start`; undefined when nothing closes it. */
function matchSet(pattern: Uint8Array, start: number, byte: number): SetMatch | undefined {
  let at = start + 1;
  const isNegated = pattern[at] === exclamation || pattern[at] === caret;
  if (isNegated) at++;
  let isMember = false;
  for (let isFirst = true; ; isFirst = false) {
    const symbol = pattern[at];
    if (symbol === undefined) return undefined;
    if (symbol === bracketEnd && !isFirst) return { matches: isMember !== isNegated, end: at + 1 };
    const characterClass = symbol === bracket ? classAt(pattern, at) : undefined;
    if (characterClass !== undefined) {
      if (characterClass.contains === undefined) return noSet;
      isMember ||= characterClass.contains(byte);
      at = characterClass.end;
      continue;
    }
    const low = elementAt(pattern, at, equals);
    if (low === undefined) return undefined;
    if (low.end < 0) return noSet;
    const next = pattern[low.end + 1];
    if (pattern[low.end] === hyphen && next !== undefined && next !== bracketEnd) {
      const high = elementAt(pattern, low.end + 1);
      if (high === undefined) return undefined;
      if (high.end < 0) return noSet;
      isMember ||= low.byte <= byte && byte <= high.byte;
      at = high.end;
    } else {
      isMember ||= low.byte === byte;
      at = low.end;
    }
  }
}

/**
 * One byte of a set: itself, `\x`, `[.x.]` or, where an `equivalence` mark is handed in, `[=x=]`. An
 * `end` of -1 tells a symbol of more bytes than one, which the C locale has none of.
 */
function elementAt(
  pattern: Uint8Array,
  at: number,
  equivalence?: number,
): { readonly byte: number; readonly end: number } | undefined {
  const byte = pattern[at];
  if (byte === undefined) return undefined;
  if (byte === backslash) {
    const escaped = pattern[at + 1];
    return escaped === undefined ? undefined : { byte: escaped, end: at + 2 };
  }
  const mark = pattern[at + 1];
  if (byte === bracket && (mark === period || (mark === equals && mark === equivalence))) {
    const inner = pattern[at + 2];
    if (inner !== undefined && pattern[at + 3] === mark && pattern[at + 4] === bracketEnd)
      return { byte: inner, end: at + 5 };
    if (mark === period) return { byte, end: -1 };
  }
  return { byte, end: at + 1 };
}

interface ClassAt {
  /** Undefined for a name that no class has. */
  readonly contains: ((byte: number) => boolean) | undefined;
  readonly end: number;
}

/** The `[:name:]` at this place of a set. */
function classAt(pattern: Uint8Array, at: number): ClassAt | undefined {
  if (pattern[at + 1] !== colon) return undefined;
  let name = "";
  for (let i = at + 2; i < pattern.length; i++) {
    const byte = pattern[i] as number;
    if (byte === colon && pattern[i + 1] === bracketEnd) {
      return { contains: Object.hasOwn(classes, name) ? classes[name] : undefined, end: i + 2 };
    }
    if (byte < 0x61 || byte > 0x7a) return undefined;
    name += String.fromCharCode(byte);
  }
  return undefined;
}

const between = (low: number, high: number) => (byte: number) => low <= byte && byte <= high;
const upper = between(0x41, 0x5a);
const lower = between(0x61, 0x7a);
const digit = between(0x30, 0x39);
const alpha = (byte: number): boolean => upper(byte) || lower(byte);
const graph = between(0x21, 0x7e);
const hexLetter = (byte: number): boolean => between(0x41, 0x46)(byte) || between(0x61, 0x66)(byte);

/** The classes of the C locale. */
const classes: Readonly<Record<string, (byte: number) => boolean>> = {
  upper,
  lower,
  digit,
  alpha,
  graph,
  alnum: (byte) => alpha(byte) || digit(byte),
  blank: (byte) => byte === 0x20 || byte === 0x09,
  cntrl: (byte) => byte < 0x20 || byte === 0x7f,
  print: between(0x20, 0x7e),
  punct: (byte) => graph(byte) && !alpha(byte) && !digit(byte),
  space: (byte) => byte === 0x20 || between(0x09, 0x0d)(byte),
  xdigit: (byte) => digit(byte) || hexLetter(byte),
};
