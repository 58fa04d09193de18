import { randomSuite } from '#contract/ports/random.suite.ts'
import { systemRandom } from './driver.ts'

randomSuite('system', systemRandom)
