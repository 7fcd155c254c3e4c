import { expect, test } from "vitest";
import { DirectoryHash } from "./htree.ts";

// From debugfs: dx_hash -h half_md4 -s 0a1b2c3d-0011-4233-8455-66778899aabb NAME
test.each([
  ["file-1", 0xd8848da0],
  ["é", 0x7009800e],
  ["a name that has more than thirty-two bytes in it", 0x7bc00d4c],
])("the hash of %j is debugfs's", (name, hash) => {
  expect(new DirectoryHash("0a1b2c3d-0011-4233-8455-66778899aabb").of(Buffer.from(name))).toBe(hash);
});
