/**
 * Order of version texts: the UAPI Group's Version Format Specification
 * (https://uapi-group.org/specifications/specs/version_format_specification/), as rpm, systemd and
 * mkosi compare them.
 * @module
 */

/** Negative when `a` is older than `b`, positive when newer, zero when equal. */
export function compareVersions(a: string, b: string): number {
  let left = a;
  let right = b;
  for (;;) {
    left = left.replace(/^[^a-zA-Z0-9~^.-]+/, "");
    right = right.replace(/^[^a-zA-Z0-9~^.-]+/, "");
    // "~" sorts below everything, even below the end.
    const tilde = bySign(left, right, "~");
    if (tilde !== undefined) {
      if (tilde !== 0) return tilde;
      left = left.slice(1);
      right = right.slice(1);
    }
    if (left === "" || right === "") return Math.sign(left.length - right.length);
    for (const sign of ["-", "^", "."]) {
      const order = bySign(left, right, sign);
      if (order === undefined) continue;
      if (order !== 0) return order;
      left = left.slice(1);
      right = right.slice(1);
    }
    const leftDigits = /^[0-9]*/.exec(left)?.[0] ?? "";
    const rightDigits = /^[0-9]*/.exec(right)?.[0] ?? "";
    if (leftDigits !== "" || rightDigits !== "") {
      const order = compareNumbers(leftDigits, rightDigits);
      if (order !== 0) return order;
      left = left.slice(leftDigits.length);
      right = right.slice(rightDigits.length);
      continue;
    }
    const leftLetters = /^[a-zA-Z]*/.exec(left)?.[0] ?? "";
    const rightLetters = /^[a-zA-Z]*/.exec(right)?.[0] ?? "";
    if (leftLetters !== rightLetters) return leftLetters < rightLetters ? -1 : 1;
    left = left.slice(leftLetters.length);
    right = right.slice(rightLetters.length);
  }
}

/** undefined: neither starts with the sign; 0: both; else the one that starts with it is lower. */
function bySign(left: string, right: string, sign: string): number | undefined {
  const a = left.startsWith(sign);
  const b = right.startsWith(sign);
  return a && b ? 0 : a ? -1 : b ? 1 : undefined;
}

/** Numbers of any length, without loss of precision. */
function compareNumbers(a: string, b: string): number {
  const left = a.replace(/^0+/, "");
  const right = b.replace(/^0+/, "");
  if (left.length !== right.length) return Math.sign(left.length - right.length);
  return left === right ? 0 : left < right ? -1 : 1;
}

/**
 * Whether `version` meets a condition: an operator (== != <= >= < >) and a version, or a version
 * alone for equality.
 */
export function versionMatches(condition: string, version: string): boolean {
  const match = /^(==|!=|<=|>=|<|>)?(.*)$/s.exec(condition);
  const order = compareVersions(version, match?.[2] ?? "");
  switch (match?.[1]) {
    case "!=":
      return order !== 0;
    case "<=":
      return order <= 0;
    case ">=":
      return order >= 0;
    case "<":
      return order < 0;
    case ">":
      return order > 0;
    default:
      return order === 0;
  }
}
