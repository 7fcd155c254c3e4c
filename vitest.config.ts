import { defineConfig, type ViteUserConfig } from "vitest/config";

// One run over all packages: `npx vitest run`, and what `npm test` counts from.
const config: ViteUserConfig = defineConfig({
  test: { projects: ["packages/*/vitest.config.ts", "apps/*/vitest.config.ts"] },
});
export default config;
