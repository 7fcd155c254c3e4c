import { open } from "node:fs/promises";
import { ConfigError, EnvironmentError } from "@imgtool/core";
import { expect, test } from "vitest";
import { explain } from "./explain.ts";

test("system errors become errors that a person can act on", async () => {
  const missing = await open("/no/such/file").catch((error: unknown) => error);
  expect(explain(missing)).toMatchObject({
    code: "file-missing",
    exitCode: 4,
    message: "no such file or directory: /no/such/file",
  });
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  expect(explain(full)).toMatchObject({ code: "no-space", exitCode: 6 });
  const copied = Object.assign(new Error("ENOSPC: …"), { code: "ENOSPC", path: "/from", dest: "/to" });
  expect(explain(copied).message).toBe("no space left on the device: /to");
});

test("an error without a hint gets one from what the system said", () => {
  const cause = Object.assign(new Error("EACCES: permission denied, open 'x'"), { code: "EACCES" });
  const explained = explain(new EnvironmentError("cannot read x: permission denied", { code: "unreadable", cause }));
  expect(explained).toBeInstanceOf(EnvironmentError);
  expect(explained).toMatchObject({
    code: "unreadable",
    hint: "run as a user who may, or as root",
    message: "cannot read x: permission denied",
    exitCode: 6,
  });
  expect(explain(new EnvironmentError("full", { hint: "do this", cause }))).toMatchObject({ hint: "do this" });
});

test("imgtool's own errors pass, anything else is called a bug", () => {
  const known = new ConfigError("bad");
  expect(explain(known)).toBe(known);
  expect(explain(new TypeError("x is not a function"))).toMatchObject({ code: "internal", exitCode: 1 });
  expect(explain("text")).toMatchObject({ code: "internal", message: "text" });
});
