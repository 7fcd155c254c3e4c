/**
 * What the golden vectors are made of: streams that anyone can make again, and chunk sizes at the
 * edges of the rules. vectors.json holds what casync makes of each pair; `UPDATE_VECTORS=1` with
 * casync on PATH writes it anew.
 * @module
 */
import { randomBytes } from "@imgtool/testkit";

const text = "All work and no play makes an image a dull file.\n";

/** Streams by name. */
export const streams: Readonly<Record<string, () => Uint8Array>> = {
  empty: () => new Uint8Array(0),
  tiny: () => Uint8Array.from({ length: 33 }, (_, i) => i),
  window: () => randomBytes(48, "window"),
  zeros: () => new Uint8Array(700_001),
  text: () => new TextEncoder().encode(text.repeat(20_000)),
  random: () => randomBytes(3_000_000, "random"),
  // Repeated blocks between runs of zeros, as in a disk image.
  blocks: () => {
    const bytes = new Uint8Array(1_500_000);
    const block = randomBytes(70_000, "block");
    for (const at of [4096, 300_000, 900_007, 1_300_000]) bytes.set(block, at);
    return bytes;
  },
};

/** Values of `--chunk-size=`. */
export const settings: readonly string[] = [
  "auto",
  "100",
  "1K",
  "1000",
  "4K",
  "16K:64K:256K",
  "48:48:48",
  "47:48:49",
  "50:50:50",
  "1000:1000:1000",
  "5000:5000:20000",
  "1000:20000:20000",
  "49:300:100000",
  "1:100:134217728",
  "1:1:134217728",
  "3333:7777:99999",
  "1M",
  "8M",
  "9771950",
  "16M",
  "100:9000000:20000000",
  "1000:2000:64M",
  "128M",
];
