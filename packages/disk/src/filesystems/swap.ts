/**
 * Swap space, version 1, as mkswap(8) of util-linux writes it for pages of 4096 bytes: a header in the
 * first page, nothing else.
 * @module
 */
import { ConfigError, parseUuid } from "@imgtool/core";
import { doesNotFit, type FilesystemDriver } from "./filesystem.ts";

const pageSize = 4096;
/** mkswap refuses less. */
const leastPages = 10;

export const swap: FilesystemDriver = {
  name: "swap",
  writable: true,
  tools: [],
  minimumSize: leastPages * pageSize,
  labelLimit: 15,
  prepare(options) {
    if (options.tree.children.length > 0)
      throw new ConfigError("swap space cannot hold files", { code: "definition-invalid" });
    const size = options.size ?? leastPages * pageSize;
    if (size < leastPages * pageSize) throw doesNotFit("swap", leastPages * pageSize, size);
    const page = Buffer.alloc(pageSize);
    page.writeUInt32LE(1, 1024);
    page.writeUInt32LE(Math.floor(size / pageSize) - 1, 1028);
    page.set(parseUuid(options.uuid), 1036);
    page.write(options.label ?? "", 1052, 15);
    page.write("SWAPSPACE2", pageSize - 10);
    return Promise.resolve({
      size,
      write: (target) => {
        target.write(0, page);
        return Promise.resolve();
      },
    });
  },
};
