import { expect, test } from "vitest";
import { readIndexBytes } from "./index-file.ts";

test("an index that never ends is refused", async () => {
  await expect(readIndexBytes("/dev/zero")).rejects.toMatchObject({ code: "index-too-large", exitCode: 3 });
});
