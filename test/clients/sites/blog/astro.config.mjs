import { defineConfig, passthroughImageService } from 'astro/config'

export default defineConfig({
  site: 'http://blog.localhost',
  image: { service: passthroughImageService() },
})
