-- Books, members and the loans between them.
CREATE TABLE book (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    author TEXT NOT NULL,
    genre TEXT NOT NULL,
    pages INTEGER NOT NULL
);
CREATE TABLE member (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    city TEXT NOT NULL,
    joined DATE NOT NULL
);
CREATE TABLE loan (
    id INTEGER PRIMARY KEY,
    book_id INTEGER NOT NULL REFERENCES book (id),
    member_id INTEGER NOT NULL REFERENCES member (id),
    days INTEGER NOT NULL,
    fine REAL
);

INSERT INTO book VALUES
    (1, 'The Salt Road', 'Mira Kent', 'novel', 312),
    (2, 'A Quiet House', 'Mira Kent', 'novel', 268),
    (3, 'Rivers of Chalk', 'Owen Marsh', 'poetry', 96),
    (4, 'The Last Orchard', 'Owen Marsh', 'novel', 401),
    (5, 'Stars for Beginners', 'Gita Rao', 'science', 224),
    (6, 'How Bridges Stand', 'Gita Rao', 'science', 356),
    (7, 'The Iron Queen', 'Paul Adler', 'history', 528),
    (8, 'Roads of Rome', 'Paul Adler', 'history', 447),
    (9, 'Small Storms', 'Lucy Fenn', 'poetry', 112),
    (10, 'The Paper Garden', 'Lucy Fenn', 'novel', 289),
    (11, 'Murder at Low Tide', 'Max Thorne', 'crime', 334),
    (12, 'The Silent Clerk', 'Max Thorne', 'crime', 298),
    (13, 'A Knife in Winter', 'Max Thorne', 'crime', 367),
    (14, 'The Secret Ocean', 'Gita Rao', 'science', 305),
    (15, 'Empire of Wool', 'Paul Adler', 'history', 612),
    (16, 'Night Letters', 'Mira Kent', 'poetry', 88);

INSERT INTO member VALUES
    (1, 'Alice Moore', 'York', '2016-02-11'),
    (2, 'Ben Carter', 'Leeds', '2018-07-30'),
    (3, 'Chloe Ward', 'York', '2019-01-05'),
    (4, 'David Price', 'Hull', '2015-09-22'),
    (5, 'Ella Stone', 'Leeds', '2020-03-14'),
    (6, 'Frank Hughes', 'Durham', '2017-11-08'),
    (7, 'Grace Young', 'York', '2021-06-19'),
    (8, 'Harry Cole', 'Hull', '2022-04-02'),
    (9, 'Isla Reed', 'Durham', '2018-12-27'),
    (10, 'Jack Foster', 'Leeds', '2023-08-16'),
    (11, 'Kate Mason', 'York', '2020-10-01'),
    (12, 'Liam Shaw', 'Hull', '2016-05-25');

INSERT INTO loan VALUES
    (1, 1, 1, 14, NULL),
    (2, 1, 3, 25, 1.25),
    (3, 2, 1, 9, NULL),
    (4, 3, 2, 7, NULL),
    (5, 4, 4, 31, 2.75),
    (6, 4, 1, 18, NULL),
    (7, 5, 5, 12, NULL),
    (8, 5, 2, 29, 2.25),
    (9, 6, 6, 21, 0.25),
    (10, 7, 4, 40, 5.5),
    (11, 7, 7, 20, NULL),
    (12, 7, 9, 36, 4.25),
    (13, 8, 6, 27, 1.75),
    (14, 9, 3, 5, NULL),
    (15, 10, 1, 16, NULL),
    (16, 10, 11, 23, 0.75),
    (17, 11, 2, 11, NULL),
    (18, 11, 5, 13, NULL),
    (19, 11, 12, 33, 3.25),
    (20, 11, 7, 10, NULL),
    (21, 12, 9, 15, NULL),
    (22, 12, 2, 24, 1.5),
    (23, 13, 12, 8, NULL),
    (24, 13, 4, 38, 4.75),
    (25, 14, 5, 17, NULL),
    (26, 15, 6, 45, 6.5),
    (27, 5, 11, 19, NULL),
    (28, 1, 9, 22, 0.5);
