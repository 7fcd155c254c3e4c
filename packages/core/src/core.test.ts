import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import {
  AbortedError,
  compareBytes,
  ConfigError,
  errorMessage,
  formatDuration,
  formatSize,
  fromHex,
  ImgtoolError,
  parseSize,
  throwIfAborted,
  toHex,
} from "./index.ts";

test("sizes are parsed with suffixes of 1024", () => {
  expect(parseSize("512")).toBe(512);
  expect(parseSize("64K")).toBe(65536);
  expect(parseSize("1.5g")).toBe(1.5 * 1024 ** 3);
  expect(parseSize(" 10MiB ")).toBe(10 * 1024 ** 2);
  for (const wrong of ["", "K", "-1", "1X", "9999999999P"]) expect(() => parseSize(wrong)).toThrow(ConfigError);
});

test("sizes and durations are printed with three significant digits", () => {
  expect([0, 1, 1023, 1024, 1536, 65536, 1023.9 * 1024, 5 * 1024 ** 3].map(formatSize)).toEqual([
    "0 B",
    "1 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "64 KiB",
    "1 MiB",
    "5 GiB",
  ]);
  expect([0, 240, 9996, 12_345, 59_960, 125_000, 3_725_000].map(formatDuration)).toEqual([
    "0.00 s",
    "0.24 s",
    "10.0 s",
    "12.3 s",
    "1 min 00 s",
    "2 min 05 s",
    "1 h 02 min",
  ]);
});

test("hexadecimal goes both ways and refuses anything else", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  expect(fromHex(toHex(bytes))).toEqual(bytes);
  expect(() => fromHex("abc")).toThrow("not hexadecimal");
  expect(() => fromHex("zz")).toThrow("not hexadecimal");
});

test("bytes compare as memcmp does", () => {
  const order = ["", "\u0000", "a", "ab", "b", "\u00ff"].map((text) => Buffer.from(text, "latin1"));
  for (const [i, a] of order.entries())
    for (const [j, b] of order.entries()) expect(Math.sign(compareBytes(a, b))).toBe(Math.sign(i - j));
});

test("errors carry code, hint, data, cause and exit code", () => {
  const cause = new Error("inner");
  const error = new ConfigError("bad", { code: "x", hint: "do y", data: { line: 3 }, cause });
  expect(error).toBeInstanceOf(ImgtoolError);
  expect(error).toMatchObject({ name: "ConfigError", code: "x", hint: "do y", data: { line: 3 }, cause, exitCode: 2 });
});

test("an aborted signal throws AbortedError with its reason", () => {
  throwIfAborted(undefined);
  throwIfAborted(new AbortController().signal);
  expect(() => throwIfAborted(AbortSignal.abort("why"))).toThrow(AbortedError);
});

test("of a system error only what the system says is a message", () => {
  let failure: unknown;
  try {
    readFileSync("/no/such, 'file'");
  } catch (error) {
    failure = error;
  }
  expect(errorMessage(failure)).toBe("no such file or directory (ENOENT)");
  expect(errorMessage(Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" }))).toBe(
    "no space left on device (ENOSPC)",
  );
  expect(errorMessage(new ConfigError("not: this, that"))).toBe("not: this, that");
  expect(errorMessage("text")).toBe("text");
});
