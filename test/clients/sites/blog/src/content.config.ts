import { glob } from 'astro/loaders'
import { defineCollection } from 'astro:content'

export const collections = {
  posts: defineCollection({ loader: glob({ base: './src/content/posts', pattern: '**/*.md' }) }),
}
