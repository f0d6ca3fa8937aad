/** The thread of one device: makes the pretext task's step from the plan and trains it with the other devices. */
import { serveReplica } from "../engine/parallel/replica.ts";
import { pretextDefinition, type PretextRecipe } from "./pretext-step.ts";

serveReplica((recipe) => pretextDefinition(recipe as PretextRecipe).definition);
