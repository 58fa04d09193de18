import { clockSuite } from '#contract/ports/clock.suite.ts'
import { systemClock } from './driver.ts'

clockSuite('system', systemClock)
