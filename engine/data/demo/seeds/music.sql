-- Singers, their albums and the songs on them.
CREATE TABLE singer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    country TEXT NOT NULL,
    age INTEGER
);
CREATE TABLE album (
    id INTEGER PRIMARY KEY,
    singer_id INTEGER NOT NULL REFERENCES singer (id),
    title TEXT NOT NULL,
    genre TEXT NOT NULL,
    released DATE NOT NULL,
    price REAL NOT NULL
);
CREATE TABLE song (
    id INTEGER PRIMARY KEY,
    album_id INTEGER NOT NULL REFERENCES album (id),
    title TEXT NOT NULL,
    seconds INTEGER NOT NULL
);

INSERT INTO singer VALUES
    (1, 'Ana Ruiz', 'Spain', 34),
    (2, 'Tom Hale', 'Ireland', 27),
    (3, 'Lena Vogel', 'Germany', 41),
    (4, 'Marco Bello', 'Italy', 52),
    (5, 'Ida Lind', 'Sweden', 23),
    (6, 'Pablo Soler', 'Spain', 46),
    (7, 'Nora Quinn', 'Ireland', NULL),
    (8, 'Jonas Falk', 'Sweden', 38),
    (9, 'Carla Monti', 'Italy', 29),
    (10, 'Rosa Vidal', 'Spain', 61),
    (11, 'Emil Brandt', 'Germany', NULL),
    (12, 'Sara Holm', 'Sweden', 31);

INSERT INTO album VALUES
    (1, 1, 'Red Harbour', 'pop', '2012-03-16', 9.5),
    (2, 1, 'Paper Moons', 'pop', '2015-10-02', 11.25),
    (3, 1, 'Night Train', 'jazz', '2019-05-24', 14.5),
    (4, 2, 'Stone Walls', 'folk', '2017-02-10', 8.75),
    (5, 2, 'Green Miles', 'folk', '2020-09-18', 10.5),
    (6, 3, 'Glass City', 'rock', '2008-06-06', 7.25),
    (7, 3, 'Iron Birds', 'rock', '2011-11-25', 12.75),
    (8, 3, 'Winter Radio', 'rock', '2016-01-15', 13.25),
    (9, 3, 'Cold Signal', 'pop', '2021-04-09', 15.5),
    (10, 4, 'Old Piazza', 'jazz', '2003-07-11', 6.5),
    (11, 4, 'Blue Wine', 'jazz', '2009-08-28', 9.25),
    (12, 5, 'First Snow', 'folk', '2022-12-02', 10.75),
    (13, 6, 'Desert Line', 'rock', '2005-05-13', 8.25),
    (14, 6, 'Moon Market', 'pop', '2014-09-05', 9.75),
    (15, 8, 'Night Ferry', 'folk', '2013-03-22', 11.5),
    (16, 8, 'Silver Pine', 'folk', '2018-10-19', 12.25),
    (17, 9, 'Golden Hour', 'pop', '2021-06-25', 13.75),
    (18, 10, 'Long Summer', 'jazz', '1999-04-30', 5.5),
    (19, 10, 'Red Lanterns', 'jazz', '2001-02-23', 6.25),
    (20, 10, 'Last Dance', 'pop', '2010-10-15', 8.5);

INSERT INTO song VALUES
    (1, 1, 'Open Water', 215),
    (2, 1, 'Red Sails', 188),
    (3, 1, 'Harbour Light', 242),
    (4, 2, 'Paper Boat', 201),
    (5, 2, 'Two Moons', 196),
    (6, 3, 'Last Platform', 305),
    (7, 3, 'Midnight Blue', 331),
    (8, 4, 'Stone by Stone', 226),
    (9, 4, 'The Old Gate', 254),
    (10, 5, 'Green Hills', 239),
    (11, 5, 'Miles Away', 218),
    (12, 5, 'Rain on Clare', 263),
    (13, 6, 'Glass Tower', 278),
    (14, 7, 'Iron Heart', 291),
    (15, 7, 'Birds of Steel', 312),
    (16, 8, 'Radio Silence', 267),
    (17, 8, 'White Noise', 249),
    (18, 9, 'Cold Front', 207),
    (19, 10, 'Piazza Grande', 345),
    (20, 11, 'Wine and Roses', 358),
    (21, 11, 'Blue Evening', 322),
    (22, 12, 'Snowfall', 193),
    (23, 12, 'First Light', 184),
    (24, 13, 'Dust Road', 270),
    (25, 14, 'Market Street', 203),
    (26, 15, 'Ferry Song', 231),
    (27, 16, 'Pine Forest', 224),
    (28, 16, 'Silver Lake', 258),
    (29, 17, 'Golden Days', 199),
    (30, 17, 'One Hour More', 211),
    (31, 18, 'Summer Rain', 387),
    (32, 19, 'Paper Lantern', 364),
    (33, 20, 'Dance Again', 205),
    (34, 20, 'Last Light', 236);
