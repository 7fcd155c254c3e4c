/** Somebody who may write to the target swaps its directories for links while a tree is extracted. */
import { spawn } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { openLocalStore } from "@imgtool/store";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { digestTree, extractTree, makeTree, readIndex } from "../src/index.ts";

/** Puts a link to the place outside where the directory is, and the directory back, as fast as it can. */
const attack = `
  import { renameSync, rmSync, symlinkSync, unlinkSync } from "node:fs";
  const [target, outside] = process.argv.slice(1);
  const attempt = (step) => { try { step(); return true; } catch { return false; } };
  process.stdout.write("begun");
  for (let swaps = 0; ;) for (const name of ["a", "b", "c"]) {
    const [path, aside] = [target + "/" + name, target + "/../aside-" + swaps];
    if (!attempt(() => renameSync(path, aside))) continue;
    attempt(() => symlinkSync(outside, path));
    const until = performance.now() + Math.random();
    while (performance.now() < until);
    attempt(() => unlinkSync(path));
    if (!attempt(() => renameSync(aside, path))) rmSync(aside, { recursive: true, force: true });
    if (++swaps % 100 === 0) process.stdout.write(".");
  }
`;

test("links swapped in while a tree is extracted lead nowhere", { tags: ["system"] }, async () => {
  using folder = temporaryFolder();
  const versions = ["old", "new"].map((version) => {
    const tree = folder.join(version);
    for (const name of ["a", "b", "c"]) {
      mkdirSync(`${tree}/${name}/inner`, { recursive: true });
      for (let i = 0; i < 40; i++)
        writeFileSync(`${tree}/${name}/f-${i}`, randomBytes(9000, `${version}-${name}-${i}`));
      for (let i = 0; i < 20; i++) writeFileSync(`${tree}/${name}/inner/${version}-${i}`, version);
    }
    return tree;
  });
  const store = folder.join("s");
  const indexes = [];
  for (const tree of versions) {
    const index = `${tree}.caidx`;
    await makeTree({ source: tree, index, store, durable: false });
    indexes.push(await readIndex(index));
  }
  const [outside, target] = [folder.join("outside"), folder.join("in/target")];
  mkdirSync(`${outside}/inner`, { recursive: true });
  writeFileSync(`${outside}/f-0`, "outside");
  writeFileSync(`${outside}/inner/kept`, "outside");
  mkdirSync(target, { recursive: true });
  const before = await digestTree({ directory: outside });

  const attacker = spawn(process.execPath, ["--input-type=module", "-e", attack, target, outside], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let dots = "";
  attacker.stdout.on("data", (text: Buffer) => (dots += text.toString()));
  await expect.poll(() => dots).toContain("begun");
  const stores = [await openLocalStore(store)];
  let [whole, failed] = [0, 0];
  for (let i = 0; i < 24; i++) {
    const index = indexes[i % 2];
    if (index === undefined) continue;
    // What is swapped away under way may fail the run, and a later one mends it.
    await extractTree({ source: { index, stores }, target, durable: false }).then(
      () => whole++,
      () => failed++,
    );
    expect(await digestTree({ directory: outside })).toBe(before);
  }
  attacker.kill("SIGKILL");
  await new Promise((resolve) => attacker.once("exit", resolve));
  expect(whole + failed).toBe(24);
  expect(dots.length, "hundreds of swaps").toBeGreaterThan(6);
  for (const index of indexes.slice(0, 1)) await extractTree({ source: { index, stores }, target, durable: false });
  expect(await digestTree({ directory: target })).toBe(await digestTree({ directory: versions[0] ?? "" }));
  expect(readdirSync(outside).sort()).toEqual(["f-0", "inner"]);
});
