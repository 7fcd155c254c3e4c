// The one vitest configuration of all packages. Each package re-exports it in its vitest.config.ts, so that
// `npx turbo test --filter=@imgtool/chunker` and the root run (vitest.config.ts) test the same way.
import { defineConfig, type ViteUserConfig } from "vitest/config";

const source = "@imgtool/source";

const config: ViteUserConfig = defineConfig({
  // Vite resolves workspace imports of the tests, execArgv those of the workers that tests start.
  resolve: { conditions: [source, "node"] },
  ssr: { resolve: { conditions: [source, "node"] } },
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    pool: "forks",
    // V8 13.6 has a race where WebAssembly that several threads run calls JavaScript often enough to have that
    // call compiled, as what strips types from the threads' modules does: one run in 40 of the tests of tar
    // archives crashed (SIGSEGV in WasmEngine::FreeDeadCode, SIGTRAP). With this budget none is compiled.
    execArgv: [`--conditions=${source}`, "--wasm-wrapper-tiering-budget=2147483647"],
    // Seconds on a quiet machine; a busy one takes ten times as long.
    testTimeout: 180_000,
    hookTimeout: 120_000,
    // Vitest's own second is too short for a machine that is busy.
    expect: { poll: { timeout: 20_000 } },
    tags: [
      {
        name: "system",
        description: "runs whole programs on real input; minutes, not milliseconds",
        timeout: 1_200_000,
      },
      {
        name: "distribution",
        description: "a system test of package managers: minutes, mostly of programs that wait for each other",
        timeout: 1_200_000,
      },
      {
        name: "boot",
        description: "boots whole images in QEMU, mostly under software emulation",
        timeout: 2_400_000,
      },
    ],
  },
});
export default config;
