CREATE TABLE `lists` (`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL, `name` text NOT NULL);
--> statement-breakpoint
CREATE TABLE `todos` (
	`id` integer PRIMARY KEY AUTOINCREMENT NOT NULL,
	`list_id` integer NOT NULL REFERENCES `lists`(`id`),
	`text` text NOT NULL,
	`tags` text DEFAULT '[]' NOT NULL
);
--> statement-breakpoint
CREATE UNIQUE INDEX `lists_name` ON `lists` (`name`);
