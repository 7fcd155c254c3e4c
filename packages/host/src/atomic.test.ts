import { spawn } from "node:child_process";
import { once } from "node:events";
import { basename } from "node:path";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeAtomically } from "./atomic.ts";
import { temporaryName } from "./leftovers.ts";

test("a file that fails half-way is gone, and what stood there stays", async () => {
  using folder = temporaryFolder();
  const path = folder.join("out");
  writeFileSync(path, "old");
  const made = makeAtomically(path, async (temporary) => {
    await writeFile(temporary, "half");
    throw new Error("stopped");
  });
  await expect(made).rejects.toThrow("stopped");
  expect(readdirSync(folder.path)).toEqual(["out"]);
  expect(readFileSync(path, "utf8")).toBe("old");
  await makeAtomically(path, (temporary) => writeFile(temporary, "new"));
  expect(readFileSync(path, "utf8")).toBe("new");
});

test("errors name the path that the caller gave, not the temporary one", async () => {
  using folder = temporaryFolder();
  const path = folder.join("absent/out");
  const error = await makeAtomically(path, (temporary) => mkdir(temporary)).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "ENOENT", path });
  expect(String(error)).not.toContain(".tmp-");
});

test("what a killed run has left of an output is removed by the next; a living one's and all else stays", async () => {
  using folder = temporaryFolder();
  const path = folder.join("out");
  const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"], { stdio: "ignore" });
  const nameOf = (process_: number | undefined): string =>
    temporaryName(path).replace(`-${process.pid}-`, `-${process_}-`);
  const [file, tree] = [nameOf(child.pid), nameOf(child.pid)];
  writeFileSync(file, "half");
  mkdirSync(`${tree}/below`, { recursive: true });
  writeFileSync(`${tree}/below/file`, "half");
  const others = [
    temporaryName(path),
    temporaryName(folder.join("other")).replace(`-${process.pid}-`, `-${child.pid}-`),
    // of a process elsewhere
    file.replace(/tmp-[0-9a-f]{8}/, "tmp-00000000"),
    folder.join(".out.tmp-mine"),
  ];
  for (const other of others) writeFileSync(other, "");

  await makeAtomically(path, (temporary) => writeFile(temporary, "first"));
  expect(readdirSync(folder.path)).toEqual(["out", ...[file, tree, ...others].map((name) => basename(name))].sort());

  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
  await makeAtomically(path, (temporary) => writeFile(temporary, "second"));
  expect(readdirSync(folder.path)).toEqual(["out", ...others.map((name) => basename(name))].sort());
});
