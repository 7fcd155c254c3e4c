/**
 * Who may write to a served directory: Basic (RFC 7617) and Bearer (RFC 6750) authentication, by what a file
 * of theirs says.
 * @module
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { ConfigError } from "@imgtool/core";

/** Values of the Authorization header that are let in, as digests: comparing them takes the same time for all. */
export type Writers = readonly Buffer[];

/**
 * Reads `user:password` and tokens, one on a line; empty lines and those that begin with # are passed over.
 * @param name of the file, for errors, which never quote a line
 * @throws ConfigError `writers-invalid`
 */
export function parseWriters(text: string, name: string): Writers {
  const writers = text.split("\n").flatMap((untrimmed, i) => {
    const line = untrimmed.replace(/\r$/, "");
    if (line.trim() === "" || line.startsWith("#")) return [];
    const isToken = /^[\w.~+/-]+=*$/.test(line);
    if (isToken) return [digestOf(`Bearer ${line}`)];
    if (/^[^:]+:./.test(line)) return [digestOf(`Basic ${Buffer.from(line).toString("base64")}`)];
    throw new ConfigError(`line ${i + 1} of ${name} is neither user:password nor a token`, {
      code: "writers-invalid",
      hint: "a token has letters, digits and -._~+/ with = at its end",
      data: { file: name, line: i + 1 },
    });
  });
  if (writers.length > 0) return writers;
  throw new ConfigError(`${name} names nobody who may write`, {
    code: "writers-invalid",
    hint: "write user:password or a token on each line",
    data: { file: name },
  });
}

/** Whether the header is one of a writer's. */
export function isWriter(writers: Writers, authorization: string | undefined): boolean {
  // The scheme's case does not count.
  const given = digestOf((authorization ?? "").replace(/^(\w+) +/, (_, scheme: string) => `${capitalized(scheme)} `));
  return writers.some((writer) => timingSafeEqual(writer, given));
}

function capitalized(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1).toLowerCase();
}

function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
