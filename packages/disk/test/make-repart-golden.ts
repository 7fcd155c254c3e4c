/**
 * Writes repart-257-folders.json: what systemd-repart makes of the cases in repart-cases.ts. Run it as root
 * where systemd 257 is, with what comes before "systemd-repart" as arguments, if anything:
 *
 *     node --conditions=@imgtool/source packages/disk/test/make-repart-golden.ts [COMMAND ARG ...]
 *
 * Both see /tmp; the table is read by imgtool's own decoder.
 * @module
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { decodeGpt } from "../src/gpt.ts";
import { repartCases, seed, writeCase, type RepartCase } from "./repart-cases.ts";

const prefix = process.argv.slice(2);

function ask(one: RepartCase): unknown {
  const folder = mkdtempSync("/tmp/imgtool-golden-");
  try {
    const { definitions, tree } = writeCase(folder, one);
    const disk = `${folder}/disk.raw`;
    const [program, ...args] = [
      ...prefix,
      "systemd-repart",
      "--empty=create",
      `--size=${one.size ?? "auto"}`,
      `--definitions=${definitions}`,
      `--root=${tree}`,
      `--seed=${seed}`,
      "--dry-run=no",
      "--offline=yes",
      "--architecture=x86-64",
      ...(one.sectorSize === undefined ? [] : [`--sector-size=${one.sectorSize}`]),
      disk,
    ];
    execFileSync(program, args, { stdio: ["ignore", "ignore", "inherit"] });
    const { diskUuid, partitions } = decodeGpt(readFileSync(disk), { sectorSize: one.sectorSize ?? 512 });
    return {
      name: one.name,
      size: statSync(disk).size,
      diskUuid,
      partitions: partitions.map(({ number, type, uuid, label, flags, offset, size }) => {
        return { number, typeUuid: type, uuid, label, flags: flags.toString(16).padStart(16, "0"), offset, size };
      }),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const golden = repartCases.map((one) => ask(one));
writeFileSync(new URL("repart-257-folders.json", import.meta.url), `${JSON.stringify(golden, null, 2)}\n`);
