import { randomBytes, run, temporaryFolder } from "@imgtool/testkit";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";

const app = join(import.meta.dirname, "..");

// The program as it is published, with its threads; elsewhere the tests run the sources.
test("the bundle makes, lists, digests and extracts", { tags: ["system"] }, () => {
  using folder = temporaryFolder();
  // below the app: native modules are found from there
  const bundle = mkdtempSync(join(app, "node_modules/bundle-"));
  try {
    const config = join(app, "rolldown.config.ts");
    run(join(app, "../../node_modules/.bin/rolldown"), ["--config", config, "--dir", bundle]);
    const imgtool = (...args: readonly string[]): string => run(process.execPath, [join(bundle, "main.js"), ...args]);
    const content = randomBytes(9 * 1024 ** 2, "bundled");
    writeFileSync(folder.join("blob"), content);
    const store = `--store=${folder.join("s")}`;
    imgtool("make", store, folder.join("x.caibx"), folder.join("blob"));
    imgtool("extract", store, folder.join("x.caibx"), folder.join("out"));
    expect(readFileSync(folder.join("out")).equals(content)).toBe(true);
    expect(imgtool("digest", folder.join("out"))).toBe(imgtool("digest", store, folder.join("x.caibx")));
    imgtool("make", store, folder.join("x.caidx"), folder.path);
    imgtool("extract", store, folder.join("x.caidx"), folder.join("tree"));
    expect(readFileSync(folder.join("tree", "out")).equals(content)).toBe(true);
    expect(imgtool("list", store, folder.join("x.caidx"))).toContain("-rw-r--r-- blob");
  } finally {
    rmSync(bundle, { recursive: true });
  }
});
