/**
 * The rules of `.caexclude` files, as casync has them: one pattern a line, `#` for comments, `!` for
 * what is kept all the same. A pattern with a slash anywhere is anchored to the directory of its file
 * (a slash at the end alone, too); others hold in all directories below. What stands before a slash
 * are directories. A rule that keeps wins over all that exclude, whatever their order or file.
 * @module
 */
import { ConfigError } from "@imgtool/core";
import { fnmatch } from "./fnmatch.ts";

/** What a directory's rules are called. */
export const excludeFileName = ".caexclude";

interface Rule {
  readonly keeps: boolean;
  readonly isAnchored: boolean;
  /** Patterns of one name each, from the directory on. */
  readonly components: readonly Uint8Array[];
  /** Whether the last component means directories only; those before it always do. */
  readonly directoryOnly: boolean;
}

/** The rules that hold in one directory. */
export class ExcludeRules {
  readonly #rules: readonly Rule[];

  private constructor(rules: readonly Rule[]) {
    this.#rules = rules;
  }

  /** No rules. */
  static readonly none: ExcludeRules = new ExcludeRules([]);

  /**
   * Reads the content of a `.caexclude` file.
   * @param name what the file is called in errors
   * @throws ConfigError `exclude-pattern-invalid` for components that are empty, `.` or `..`, and for NUL
   */
  static parse(content: Uint8Array, name: string): ExcludeRules {
    const rules: Rule[] = [];
    // Latin-1 keeps the bytes: names and patterns need not be text.
    const lines = Buffer.from(content).toString("latin1").split("\n");
    for (const [index, line] of lines.entries()) {
      const text = line.replaceAll(/^[ \t]+|[ \t]+$/g, "");
      if (text === "" || text.startsWith("#")) continue;
      const rule = parseRule(text);
      if (rule === undefined) throw invalidPattern(name, index + 1, text);
      rules.push(rule);
    }
    return rules.length === 0 ? ExcludeRules.none : new ExcludeRules(rules);
  }

  /** Whether an entry of the directory is left out. */
  excludes(entry: Uint8Array, isDirectory: boolean): boolean {
    let isExcluded = false;
    for (const { keeps, components, directoryOnly } of this.#rules) {
      const [first] = components;
      if (first === undefined || components.length > 1) continue;
      if (isExcluded && !keeps) continue;
      if ((directoryOnly && !isDirectory) || !fnmatch(first, entry)) continue;
      if (keeps) return false;
      isExcluded = true;
    }
    return isExcluded;
  }

  /** The rules that hold in a directory inside this one. */
  below(directory: Uint8Array): ExcludeRules {
    if (this.#rules.length === 0) return this;
    const rules = this.#rules.flatMap((rule): readonly Rule[] => {
      const [first, ...rest] = rule.components;
      if (!rule.isAnchored) return [rule];
      return first !== undefined && rest.length > 0 && fnmatch(first, directory) ? [{ ...rule, components: rest }] : [];
    });
    return rules.length === 0 ? ExcludeRules.none : new ExcludeRules(rules);
  }

  /** These rules and others, of the same directory. */
  with(others: ExcludeRules): ExcludeRules {
    return new ExcludeRules([...this.#rules, ...others.#rules]);
  }
}

/** Undefined for what is no pattern. */
function parseRule(text: string): Rule | undefined {
  const keeps = text.startsWith("!");
  const pattern = keeps ? text.slice(1) : text;
  const names = pattern.replaceAll(/^\/+|\/+$/g, "").split(/\/+/);
  if (pattern.includes("\0") || names.some((name) => name === "" || name === "." || name === "..")) return undefined;
  return {
    keeps,
    isAnchored: pattern.includes("/"),
    components: names.map((name) => Buffer.from(name, "latin1")),
    directoryOnly: pattern.endsWith("/"),
  };
}

function invalidPattern(file: string, line: number, found: string): ConfigError {
  return new ConfigError(
    `${file}:${line}: expected a pattern of names joined by slashes, found ${JSON.stringify(found)}`,
    {
      code: "exclude-pattern-invalid",
      hint: "components may not be empty, . or ..; # begins a comment",
      data: { file, line, found },
    },
  );
}
