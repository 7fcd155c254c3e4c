/**
 * The whole way, as `npm run demo` goes it, judged by the real programs: casync, sgdisk, e2fsck,
 * systemd-dissect.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { needPrograms, needRoot, run, temporaryFolder, tryRun } from "@imgtool/testkit";
import { expect, test } from "vitest";

const root = join(import.meta.dirname, "../../..");

/** Other tests mount beside this one: what the demo leaves shows in a mount namespace of its own. */
const betweenMounts = `cat /proc/self/mounts >"$0/mounts-before"
"$@"; code=$?
cat /proc/self/mounts >"$0/mounts-after"; exit $code`;

interface DemoResults {
  readonly steps: readonly { readonly step: string }[];
  readonly first: {
    readonly artifacts: readonly { readonly kind: string; readonly chunks: number; readonly newChunks: number }[];
  };
  readonly second: {
    readonly artifacts: readonly { readonly kind: string; readonly update?: { readonly storedBytes: number } }[];
  };
  readonly fetched: { readonly bytes: number; readonly bytesFetched: number; readonly fromSeeds: number };
}

test("build, publish, build again, publish, fetch with a seed", { tags: ["system"] }, (context) => {
  needRoot(context);
  needPrograms(context, "unshare", "mmdebstrap", "casync", "sgdisk", "e2fsck", "systemd-dissect");
  using folder = temporaryFolder();
  const output = folder.join("demo");
  const results = folder.join("results.json");
  const demo = spawnSync(
    "unshare",
    [
      "--mount",
      "--propagation=private",
      "sh",
      "-c",
      betweenMounts,
      folder.path,
      process.execPath,
      "--conditions=@imgtool/source",
      join(root, "scripts/demo.ts"),
      `--output=${output}`,
      `--results=${results}`,
    ],
    { encoding: "utf8", maxBuffer: 64 * 1024 ** 2 },
  );
  expect(demo.status, demo.stderr + demo.stdout).toBe(0);
  expect(demo.stderr).toContain("the fetched image is byte for byte the one that was built");
  expect(readFileSync(folder.join("mounts-after"), "utf8")).toBe(readFileSync(folder.join("mounts-before"), "utf8"));

  const { first, second, fetched } = JSON.parse(readFileSync(results, "utf8")) as DemoResults;
  const [firstImage, secondImage] = [first, second].map(({ artifacts }) =>
    artifacts.find(({ kind }) => kind === "blob"),
  );
  expect(first.artifacts.find(({ kind }) => kind === "blob")?.newChunks).toBeGreaterThan(0);
  expect(firstImage).toBeDefined();
  // The update must cost what changed and not the image: nano and a file of some 200 MB.
  expect(fetched.bytesFetched).toBeLessThan(fetched.bytes / 10);
  expect(fetched.fromSeeds).toBeGreaterThan(0);
  expect(secondImage).toHaveProperty("update.storedBytes");

  // A second look by the programs that are the judges.
  const image = join(output, "minimal/mkosi.output/minimal_2.raw");
  const fromCasync = folder.join("from-casync.raw");
  run("casync", ["extract", join(output, "www/minimal_2.raw.caibx"), fromCasync]);
  expect(tryRun("cmp", [fromCasync, image]).status).toBe(0);
  run("casync", ["make", `--store=${folder.join("casync.castr")}`, folder.join("casync.caibx"), image]);
  expect(readFileSync(folder.join("casync.caibx"))).toEqual(readFileSync(join(output, "www/minimal_2.raw.caibx")));
  expect(run("sgdisk", ["-v", image])).toContain("No problems found");
  expect(run("systemd-dissect", ["--no-pager", image])).toContain("root");
  const checksums = run("sha256sum", ["--check", "--strict", "minimal_2.SHA256SUMS"], {
    cwd: join(output, "minimal/mkosi.output"),
  });
  expect(checksums).toContain("minimal_2.raw: OK");

  // The root partition is a sound file system.
  const partition = folder.join("root.ext4");
  const table = JSON.parse(run("sfdisk", ["--json", image])) as {
    readonly partitiontable: { readonly partitions: readonly { readonly start: number; readonly size: number }[] };
  };
  const { start = 0, size = 0 } = table.partitiontable.partitions[0] ?? {};
  run("dd", [
    `if=${image}`,
    `of=${partition}`,
    "bs=512",
    `skip=${start}`,
    `count=${size}`,
    "conv=sparse",
    "status=none",
  ]);
  run("e2fsck", ["-fn", partition]);

  // Nothing temporary is left beside the outputs.
  const left = readdirSync(join(output, "minimal/mkosi.output")).filter((name) => name.startsWith("."));
  expect(left).toEqual([]);
  expect(existsSync(join(output, "result.json"))).toBe(false);
});
