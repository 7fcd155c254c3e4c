/** The examples of all READMEs compile against the packages as they are. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { join } from "node:path";
import { randomBytes, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../../..");

/** Those that are whole programs, by the package and their place in its README. */
const programs: readonly string[] = ["chunker-0", "catar-0", "tar-0", "tar-1", "sync-0", "sync-1"];

/** Runs them where the files are that they speak of. */
function runExamples(folder: string): void {
  using work = temporaryFolder();
  for (const [index, name] of ["old.raw", "disk.raw"].entries()) {
    writeFileSync(work.join(name), Buffer.concat([randomBytes(400_000, "examples"), Buffer.alloc(100_000, index)]));
    run(join(root, "imgtool"), ["make", "--store=default.castr", `${index + 1}.caibx`, name], { cwd: work.path });
  }
  for (const name of ["old", "new"]) {
    mkdirSync(work.join(name));
    writeFileSync(work.join(name, "file"), name);
  }
  run("tar", ["-cf", "rootfs.tar", "new"], { cwd: work.path });
  for (const name of programs) {
    // Node.js strips no types below node_modules.
    const program = join(folder, `${name}.mjs`);
    writeFileSync(program, stripTypeScriptTypes(readFileSync(join(folder, `${name}.ts`), "utf8")));
    const ran = tryRun(process.execPath, ["--conditions=@imgtool/source", program], { cwd: work.path });
    expect([name, ran.status, ran.stderr]).toEqual([name, 0, ""]);
  }
}

test(
  "every TypeScript example in a package's README compiles, and whole programs among them run",
  { tags: ["system"] },
  () => {
    // Below node_modules, so that the packages are found as an installed program finds them.
    mkdirSync(join(root, "node_modules/.cache"), { recursive: true });
    const folder = mkdtempSync(join(root, "node_modules/.cache/readmes-"));
    try {
      const packages = readdirSync(join(root, "packages"));
      for (const name of packages) {
        const text = readFileSync(join(root, "packages", name, "README.md"), "utf8");
        const examples = [...text.matchAll(/^```ts\n(.*?)^```/gms)].map((match) => match[1] ?? "");
        expect(examples.length, `examples in the README of ${name}`).toBeGreaterThan(0);
        for (const [index, example] of examples.entries()) writeFileSync(join(folder, `${name}-${index}.ts`), example);
      }
      const options = {
        noEmit: true,
        allowImportingTsExtensions: true,
        customConditions: ["@imgtool/source"],
        noUnusedLocals: false,
        isolatedDeclarations: false,
        declaration: false,
        declarationMap: false,
      };
      writeFileSync(
        join(folder, "tsconfig.json"),
        JSON.stringify({
          extends: join(root, "tsconfig.base.json"),
          compilerOptions: options,
          include: ["*.ts"],
          exclude: [],
        }),
      );
      writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
      const compiled = tryRun(join(root, "node_modules/.bin/tsc"), ["-p", folder]);
      expect(compiled.stdout.toString("utf8") + compiled.stderr).toBe("");
      expect(compiled.status).toBe(0);
      runExamples(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
