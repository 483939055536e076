-- Films, halls and the showings of a film in a hall.
CREATE TABLE film (
    id INTEGER PRIMARY KEY,
    title TEXT NOT NULL,
    genre TEXT NOT NULL,
    minutes INTEGER NOT NULL,
    rating REAL
);
CREATE TABLE hall (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    screen TEXT NOT NULL,
    seats INTEGER NOT NULL
);
CREATE TABLE showing (
    id INTEGER PRIMARY KEY,
    film_id INTEGER NOT NULL REFERENCES film (id),
    hall_id INTEGER NOT NULL REFERENCES hall (id),
    day DATE NOT NULL,
    sold INTEGER NOT NULL
);

INSERT INTO film VALUES
    (1, 'The Long Voyage', 'drama', 132, 7.5),
    (2, 'Robot Summer', 'comedy', 98, 6.25),
    (3, 'Shadow Court', 'thriller', 115, 8.25),
    (4, 'Two Left Feet', 'comedy', 91, 5.5),
    (5, 'The Glass Door', 'thriller', 124, 7.25),
    (6, 'Mountain Song', 'drama', 141, 8.5),
    (7, 'Planet Nine', 'fantasy', 156, NULL),
    (8, 'The Tin Dragon', 'fantasy', 109, 6.75),
    (9, 'Lost Luggage', 'comedy', 87, 6.5),
    (10, 'Winter Harvest', 'drama', 119, 7.75),
    (11, 'Dark Harbour', 'thriller', 103, NULL),
    (12, 'The Third Wish', 'fantasy', 128, 8.75),
    (13, 'Second Spring', 'drama', 137, NULL),
    (14, 'Crazy Cousins', 'comedy', 94, 4.75);

INSERT INTO hall VALUES
    (1, 'Apollo', 'large', 320),
    (2, 'Bijou', 'small', 85),
    (3, 'Capitol', 'medium', 190),
    (4, 'Diamond', 'large', 275),
    (5, 'Electra', 'small', 60),
    (6, 'Forum', 'medium', 150),
    (7, 'Gloria', 'small', 110),
    (8, 'Hermes', 'medium', 165);

INSERT INTO showing VALUES
    (1, 1, 1, '2023-02-03', 210),
    (2, 1, 3, '2023-02-11', 142),
    (3, 2, 2, '2023-02-24', 58),
    (4, 2, 7, '2023-03-04', 77),
    (5, 2, 3, '2023-03-18', 96),
    (6, 3, 4, '2023-04-01', 264),
    (7, 3, 1, '2023-04-15', 301),
    (8, 3, 6, '2023-04-28', 133),
    (9, 3, 3, '2023-05-13', 171),
    (10, 4, 5, '2023-05-26', 31),
    (11, 5, 6, '2023-06-09', 118),
    (12, 5, 4, '2023-06-23', 187),
    (13, 6, 1, '2023-07-07', 289),
    (14, 6, 2, '2023-07-21', 82),
    (15, 7, 4, '2023-08-05', 243),
    (16, 7, 1, '2023-08-19', 312),
    (17, 8, 7, '2023-09-02', 104),
    (18, 8, 2, '2023-09-16', 66),
    (19, 9, 5, '2023-10-06', 47),
    (20, 9, 2, '2023-10-20', 39),
    (21, 10, 3, '2023-11-10', 128),
    (22, 11, 6, '2023-11-24', 99),
    (23, 12, 1, '2023-12-15', 318),
    (24, 12, 4, '2023-12-29', 251),
    (25, 12, 7, '2024-01-12', 109),
    (26, 12, 3, '2024-01-26', 185),
    (27, 13, 5, '2024-02-09', 52),
    (28, 1, 2, '2024-02-23', 71),
    (29, 5, 7, '2024-03-08', 88),
    (30, 6, 3, '2024-03-22', 160);
