/**
 * stores.conf: what servers are told and how long they are waited for, by the URLs of stores and indexes
 * (docs/stores.md). One file of the machine and one of the user.
 * @module
 */
import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";
import { ConfigError, EnvironmentError, errorMessage, systemErrorCode } from "@imgtool/core";
import type { OpenStoreOptions, StoreAccess } from "@imgtool/store";
import { checkSecretMode } from "./secret-file.ts";
import type { StoreSection } from "./section.ts";
import { compareSpecificity, matchesUrl } from "./url-pattern.ts";

/** Where the files are, the one that counts more first. */
export function storesFilePaths(): readonly string[] {
  const { XDG_CONFIG_HOME = "" } = process.env;
  const home = isAbsolute(XDG_CONFIG_HOME) ? XDG_CONFIG_HOME : join(homedir(), ".config");
  return [join(home, "imgtool", "stores.conf"), "/etc/imgtool/stores.conf"];
}

/**
 * The options for locations that the files have. They are read when the first URL is asked for, the files that
 * sections name when a section is used first: all stores of a section share its limit of the rate.
 * @returns a function that throws ConfigError with file and line for what is wrong in them; EnvironmentError
 *   `stores-file-unreadable`; as readSection()
 */
export function storesFileAccess(paths: () => readonly string[] = storesFilePaths): StoreAccess {
  let sections: Promise<readonly StoreSection[]> | undefined;
  const used = new Map<StoreSection, OpenStoreOptions>();
  return async (location) => {
    if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(location)) return {};
    const section = (await (sections ??= readFiles(paths()))).find(({ pattern }) => matchesUrl(pattern, location));
    if (section === undefined) return {};
    const options = used.get(section) ?? section.options();
    used.set(section, options);
    return options;
  };
}

/** All sections, the most specific first, and of two for the same the user's. */
async function readFiles(paths: readonly string[]): Promise<readonly StoreSection[]> {
  const sections: StoreSection[] = [];
  for (const path of paths) sections.push(...(await readFile(path)));
  // The sort keeps the order of what is equal.
  return sections.sort((a, b) => compareSpecificity(a.pattern, b.pattern));
}

async function readFile(path: string): Promise<readonly StoreSection[]> {
  const content = contentOf(path);
  if (content === undefined) return [];
  const { formatProblem, parseIni } = await import("@imgtool/config");
  const { readSection } = await import("./section.ts");
  const { text, mode } = content;
  const { sections, errors } = parseIni(text, path);
  const [problem] = errors;
  if (problem !== undefined) {
    // A broken line can be a secret's: the message of the parser shows it.
    throw new ConfigError(formatProblem({ ...problem, message: "this is neither Setting=Value nor a section" }), {
      code: problem.code,
      hint: "expected sections such as [Store https://example.org/*] with lines such as User=NAME",
      data: { file: path, line: problem.line },
    });
  }
  checkComments(text, path);
  const read = sections.map((section) => readSection(section, path));
  const seen = new Map<string, StoreSection>();
  for (const section of read) {
    const { scheme, host, path: below } = section.pattern;
    const former = seen.get(`${scheme}://${host}${below}`);
    if (former !== undefined) {
      throw new ConfigError(`${section.place}: ${former.place} is for the same URL, ${section.pattern.text}`, {
        hint: "make one section of the two",
        data: { file: path },
      });
    }
    seen.set(`${scheme}://${host}${below}`, section);
  }
  if (read.some(({ isSecret }) => isSecret)) checkSecretMode(path, mode);
  return read;
}

/** `#` begins a comment anywhere; where none was meant, it has cut a password or a token, and nothing would say so. */
function checkComments(text: string, path: string): void {
  for (const [i, line] of text.split(/\r\n|\n|\r/).entries()) {
    const comment = line.indexOf("#");
    if (comment <= 0 || /\s/.test(line.charAt(comment - 1))) continue;
    throw new ConfigError(`${path}:${i + 1}: # begins a comment, in the middle of a word`, {
      hint: "put a blank before a comment; a secret with # belongs into a file of its own (BearerTokenFile=, PasswordFile=)",
      data: { file: path, line: i + 1 },
    });
  }
}

function contentOf(path: string): { readonly text: string; readonly mode: number } | undefined {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(systemErrorCode(error) ?? "")) return undefined;
    throw unreadable(path, error);
  }
  try {
    return { mode: fstatSync(file).mode, text: readFileSync(file, "utf8") };
  } catch (error) {
    throw unreadable(path, error);
  } finally {
    closeSync(file);
  }
}

function unreadable(path: string, cause: unknown): EnvironmentError {
  return new EnvironmentError(`cannot read ${path}: ${errorMessage(cause)}`, {
    code: "stores-file-unreadable",
    hint: "it says how stores are reached: let this user read it, by its group for example, or put the secrets of one user into the file of that user",
    data: { path },
    cause,
  });
}
