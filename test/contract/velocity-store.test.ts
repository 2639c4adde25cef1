import { MemoryVelocityStore } from '../../src/adapters/memory/velocity-store.js'
import { velocityStoreSuite } from './suites/velocity-store.js'

velocityStoreSuite('memory', (layout) => Promise.resolve(new MemoryVelocityStore({ layout })), 1_000)
