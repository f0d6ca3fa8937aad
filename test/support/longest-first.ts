/** The order in which Vitest begins with test files. */
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** @param longest ends of the names of files, beginning with the one that takes longest; they go first, whatever Vitest knows */
export function longestFirst(longest: readonly string[]): typeof BaseSequencer {
  const rank = ({ moduleId }: TestSpecification): number => {
    const at = longest.findIndex((file) => moduleId.endsWith(file));
    return at === -1 ? longest.length : at;
  };
  return class extends BaseSequencer {
    override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
      return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
    }
  };
}
