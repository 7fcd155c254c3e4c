/**
 * Which firmware files an image keeps besides those that its kernel modules ask for: FirmwareFiles=, with
 * mkosi's patterns. Pure.
 * @module
 */
import { ConfigError } from "@imgtool/core";

/**
 * The files that patterns choose. A pattern fits a file's name, the end of its path from a folder on
 * (`cxgb4/*.bin`), or with a `/` before it the whole path; with one behind it everything below. `*`, `?` and
 * `[…]` stay within a name. After a `-` it leaves out; the last that fits decides, what none fits is not chosen.
 * @param files paths relative to /usr/lib/firmware; a suffix of their compression does not count
 * @throws ConfigError `firmware-pattern-invalid`
 */
export function chooseFirmware(files: readonly string[], patterns: readonly string[]): string[] {
  const rules = patterns.map((pattern) => {
    const keep = !pattern.startsWith("-");
    return { keep, expression: compile(keep ? pattern : pattern.slice(1)) };
  });
  return files.filter((file) => {
    const path = `/${file.replace(/\.(?:xz|zst)$/, "")}`;
    return rules.findLast(({ expression }) => expression.test(path))?.keep === true;
  });
}

function compile(pattern: string): RegExp {
  const inner = pattern.replaceAll(/^\/|\/$/g, "");
  if (inner === "" || inner.includes("//"))
    throw new ConfigError(`not a pattern of firmware files: ${JSON.stringify(pattern)}`, {
      code: "firmware-pattern-invalid",
      hint: "correct FirmwareFiles=: NAME, FOLDER/NAME, /FOLDER/NAME or FOLDER/",
    });
  const body = inner.replaceAll(
    /\[(!?)([^\]/]+)\]|[^\w/]/g,
    (whole, not: string | undefined, set: string | undefined) => {
      if (set !== undefined) return `[${not === "!" ? "^/" : ""}${set.replaceAll(/[\\^[]/g, String.raw`\$&`)}]`;
      if (whole === "*") return "[^/]*";
      return whole === "?" ? "[^/]" : `\\${whole}`;
    },
  );
  try {
    return new RegExp(`${pattern.startsWith("/") ? "^" : ""}/${body}${pattern.endsWith("/") ? "/" : "$"}`);
  } catch (error) {
    throw new ConfigError(`not a pattern of firmware files: ${JSON.stringify(pattern)}`, {
      code: "firmware-pattern-invalid",
      hint: "write the range in brackets from its smaller end on",
      cause: error,
    });
  }
}
