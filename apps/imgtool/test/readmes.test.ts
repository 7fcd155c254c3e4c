/** The examples of all READMEs compile against the packages as they are. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../../..");

test("every TypeScript example in a package's README compiles", { tags: ["system"] }, () => {
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
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
