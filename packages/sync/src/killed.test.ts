import { spawn } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { randomBytes, temporaryFolder } from "@imgtool/testkit";
import { openChunk } from "@imgtool/store";
import { expect, test } from "vitest";
import { makeBlob } from "./make-blob.ts";

const chunkFiles = (store: string): string[] =>
  existsSync(store)
    ? (readdirSync(store, { recursive: true }) as string[]).filter((path) => path.endsWith(".cacnk"))
    : [];

const script = `
  import { makeBlob } from "@imgtool/sync";
  const [source, index, store, durable] = process.argv.slice(1);
  await makeBlob({ source, index, store, durable: durable === "true" });
`;

test.each([true, false])(
  "a killed run (durable: %s) leaves a valid store, and the next run goes on from it",
  { tags: ["system"] },
  async (durable) => {
    using folder = temporaryFolder();
    const content = randomBytes(48 * 1024 ** 2, "killed");
    writeFileSync(folder.join("blob"), content);
    writeFileSync(folder.join("o.caibx"), "former");
    const [source, index, store] = [folder.join("blob"), folder.join("o.caibx"), folder.join("s")];
    const flags = ["--conditions=@imgtool/source", "--input-type=module", "-e", script];
    const child = spawn(process.execPath, [...flags, source, index, store, String(durable)], {
      cwd: import.meta.dirname,
      stdio: "inherit",
    });
    const ended = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
    while (chunkFiles(store).length < 20 && child.exitCode === null) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    child.kill("SIGKILL");
    expect(await ended).toBe("SIGKILL");

    expect(readFileSync(index, "utf8")).toBe("former");
    const left = chunkFiles(store);
    for (const path of left) {
      const name = path.slice(5, 69);
      const bytes = readFileSync(folder.join("s", path));
      expect(() => openChunk({ bytes, compressed: true }, name, plainSize(bytes), "sha512-256", store)).not.toThrow();
    }
    const made = await makeBlob({ source, index, store, durable });
    expect(made.newChunks).toBe(made.chunks - left.length);
  },
);

/** The content size that a zstd frame with one segment states in its header (RFC 8878, section 3.1.1.1). */
function plainSize(frame: Buffer): number {
  const descriptor = frame[4] ?? 0;
  const width = descriptor >> 6;
  if (width === 0) return frame[5] ?? 0;
  if (width === 1) return frame.readUInt16LE(5) + 256;
  return frame.readUInt32LE(5);
}
