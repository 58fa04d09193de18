import { PrismaD1 } from '@prisma/adapter-d1'
import { Prisma, PrismaClient } from './generated/client'

/** As `prisma migrate diff` writes them. */
const tables = `CREATE TABLE "User" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "email" TEXT NOT NULL, "active" BOOLEAN NOT NULL DEFAULT true, "score" REAL, "big" BIGINT NOT NULL DEFAULT 0, "seen" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "picture" BLOB, "extra" JSONB);
CREATE TABLE "Post" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "title" TEXT NOT NULL, "authorId" INTEGER NOT NULL, CONSTRAINT "Post_authorId_fkey" FOREIGN KEY ("authorId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE "Group" ("name" TEXT NOT NULL PRIMARY KEY);
CREATE TABLE "_GroupToUser" ("A" TEXT NOT NULL, "B" INTEGER NOT NULL, CONSTRAINT "_GroupToUser_A_fkey" FOREIGN KEY ("A") REFERENCES "Group" ("name") ON DELETE CASCADE ON UPDATE CASCADE, CONSTRAINT "_GroupToUser_B_fkey" FOREIGN KEY ("B") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE UNIQUE INDEX "Post_authorId_title_key" ON "Post"("authorId", "title");
CREATE UNIQUE INDEX "_GroupToUser_AB_unique" ON "_GroupToUser"("A", "B");
CREATE INDEX "_GroupToUser_B_index" ON "_GroupToUser"("B");`

const wrong = (run: Promise<unknown>): Promise<unknown> =>
  run.then(
    () => null,
    (error: unknown) =>
      error instanceof Prisma.PrismaClientKnownRequestError ? error.code : String(error),
  )

export async function prismaProgram(database: D1Database): Promise<unknown> {
  await database.exec(tables)
  const prisma = new PrismaClient({ adapter: new PrismaD1(database) })
  const seen = new Date('2020-01-02T03:04:05.678Z')
  const ann = await prisma.user.create({
    data: {
      email: 'ann@example.com',
      score: 0.5,
      big: 9007199254740991n,
      seen,
      picture: new Uint8Array([0, 1, 255]),
      extra: { a: [1, 'é'] },
      posts: { create: [{ title: 'One' }, { title: 'Two' }] },
      groups: { connectOrCreate: { where: { name: 'staff' }, create: { name: 'staff' } } },
    },
    include: { posts: true, groups: true },
  })
  const many = await prisma.user.createMany({
    data: ['ben', 'cat', 'dan'].map((name) => ({ email: `${name}@example.com`, seen })),
  })
  const unique = await wrong(prisma.user.create({ data: { email: 'ann@example.com' } }))
  const foreign = await wrong(prisma.post.create({ data: { title: 'Orphan', authorId: 999 } }))
  const missing = await wrong(prisma.user.update({ where: { id: 999 }, data: { score: 1 } }))
  const moved = await prisma.user.update({
    where: { email: 'ben@example.com' },
    data: {
      score: { set: 2.25 },
      posts: {
        connect: { authorId_title: { authorId: ann.id, title: 'Two' } },
        create: { title: 'Three' },
      },
      groups: { connect: { name: 'staff' } },
    },
    include: { posts: { orderBy: { title: 'asc' }, select: { title: true } } },
  })
  const found = await prisma.user.findMany({
    where: {
      OR: [{ posts: { some: { title: { startsWith: 'T' } } } }, { email: { contains: 'cat' } }],
    },
    orderBy: { email: 'asc' },
    select: { email: true, active: true, _count: { select: { posts: true } } },
  })
  const [updated, count, grouped] = await prisma.$transaction([
    prisma.user.updateMany({ where: { score: null }, data: { active: false } }),
    prisma.user.count({ where: { active: false } }),
    prisma.user.aggregate({ _sum: { score: true }, _max: { id: true } }),
  ])
  const upserted = await prisma.user.upsert({
    where: { email: 'cat@example.com' },
    create: { email: 'cat@example.com' },
    update: { score: 7 },
    select: { email: true, score: true },
  })
  const raw = await prisma.$queryRaw`SELECT title FROM Post WHERE authorId = ${ann.id}`
  const staff = await prisma.group.findUnique({
    where: { name: 'staff' },
    include: { users: { select: { email: true }, orderBy: { id: 'asc' } } },
  })
  await prisma.user.delete({ where: { id: ann.id } })
  return {
    ann: { ...ann, big: String(ann.big), picture: ann.picture && [...ann.picture] },
    many,
    unique,
    foreign,
    missing,
    moved: moved.posts,
    found,
    transaction: [updated, count, grouped],
    upserted,
    raw,
    staff,
    left: await prisma.post.findMany({ select: { title: true }, orderBy: { title: 'asc' } }),
  }
}
