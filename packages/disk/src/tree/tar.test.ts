import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import { expect, test } from "vitest";
import { scanTree } from "./scan.ts";
import { tarStream } from "./tar.ts";

function content(name: string, file: string): Uint8Array {
  return randomBytes(700_001, `${name} ${file}`);
}

test("two archives that are made at the same time have their own files, as tar reads them", async () => {
  using folder = temporaryFolder();
  const names = ["a", "b"];
  const streams: Generator<Buffer>[] = [];
  for (const name of names) {
    mkdirSync(folder.join(name));
    mkdirSync(folder.join(`${name}.out`));
    // a small one first, so that large ones begin within a piece
    writeFileSync(folder.join(name, "0"), name);
    for (const file of ["1", "2"]) writeFileSync(folder.join(name, file), content(name, file));
    streams.push(tarStream(await scanTree({ tree: folder.join(name), copy: [{ source: "/", target: "/" }] })));
  }
  const made: Buffer[][] = names.map(() => []);
  for (let open = true; open;) {
    open = false;
    for (const [index, stream] of streams.entries()) {
      const { value, done } = stream.next();
      if (done === true) continue;
      open = true;
      made[index]?.push(value);
    }
  }
  for (const [index, name] of names.entries()) {
    writeFileSync(folder.join(`${name}.tar`), Buffer.concat(made[index] ?? []));
    run("tar", ["--no-same-owner", "-xf", folder.join(`${name}.tar`), "-C", folder.join(`${name}.out`)]);
    expect(readFileSync(folder.join(`${name}.out`, "0"), "utf8")).toBe(name);
    for (const file of ["1", "2"])
      expect([name, file, readFileSync(folder.join(`${name}.out`, file)).equals(content(name, file))]).toEqual([
        name,
        file,
        true,
      ]);
  }
});
