import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { makeAtomically } from "./atomic.ts";

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
