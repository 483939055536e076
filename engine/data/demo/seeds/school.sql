-- Teachers, their courses and the exams students took; an exam not yet marked has no score.
CREATE TABLE teacher (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    subject TEXT NOT NULL,
    age INTEGER NOT NULL
);
CREATE TABLE course (
    id INTEGER PRIMARY KEY,
    teacher_id INTEGER NOT NULL REFERENCES teacher (id),
    title TEXT NOT NULL,
    room TEXT NOT NULL,
    hours INTEGER NOT NULL
);
CREATE TABLE exam (
    id INTEGER PRIMARY KEY,
    course_id INTEGER NOT NULL REFERENCES course (id),
    student TEXT NOT NULL,
    day DATE NOT NULL,
    score INTEGER
);

INSERT INTO teacher VALUES
    (1, 'Martha Gray', 'maths', 47),
    (2, 'Simon Blake', 'history', 35),
    (3, 'Ruth Elliot', 'biology', 58),
    (4, 'Oscar Flint', 'art', 44),
    (5, 'Tara Singh', 'biology', 41),
    (6, 'Walter Boone', 'maths', 63),
    (7, 'Vera Stokes', 'art', 29),
    (8, 'Hector Ramos', 'history', 50),
    (9, 'Paula Finch', 'maths', 52);

INSERT INTO course VALUES
    (1, 1, 'Algebra One', 'east wing', 60),
    (2, 1, 'Geometry', 'east wing', 48),
    (3, 2, 'World History', 'west wing', 72),
    (4, 2, 'Ancient Greece', 'west wing', 30),
    (5, 2, 'Modern Europe', 'annex', 36),
    (6, 3, 'Plant Life', 'garden room', 42),
    (7, 4, 'Drawing', 'annex', 54),
    (8, 4, 'Clay and Colour', 'annex', 28),
    (9, 5, 'Genetics', 'west wing', 66),
    (10, 6, 'Statistics', 'east wing', 58),
    (11, 6, 'Algebra Two', 'east wing', 64),
    (12, 7, 'Photography', 'garden room', 24),
    (13, 5, 'Ocean Science', 'garden room', 32),
    (14, 8, 'Roman Law', 'west wing', 20);

INSERT INTO exam VALUES
    (1, 1, 'Abby Fields', '2024-01-15', 82),
    (2, 1, 'Bryan Lowell', '2024-01-16', 64),
    (3, 1, 'Cathy Dunn', '2024-01-18', 99),
    (4, 1, 'Dylan Marsh', '2024-01-22', 71),
    (5, 2, 'Emma Vance', '2024-01-30', 95),
    (6, 2, 'Floyd Kerr', '2024-02-02', 74),
    (7, 3, 'Gwen Archer', '2024-02-08', 91),
    (8, 3, 'Howard Pike', '2024-02-12', 58),
    (9, 3, 'Ivy Sutton', '2024-02-21', NULL),
    (10, 4, 'Joel Baxter', '2024-02-27', 70),
    (11, 4, 'Kim Harlow', '2024-03-05', 83),
    (12, 5, 'Lewis Crane', '2024-03-11', 85),
    (13, 6, 'Molly Page', '2024-03-14', 77),
    (14, 6, 'Nathan Ford', '2024-03-20', 80),
    (15, 7, 'Opal Jenkins', '2024-04-03', 88),
    (16, 7, 'Philip Snow', '2024-04-09', NULL),
    (17, 8, 'Quentin Hill', '2024-04-17', 75),
    (18, 9, 'Rachel Boyd', '2024-04-25', 79),
    (19, 9, 'Sean Wilkes', '2024-05-02', 68),
    (20, 9, 'Tessa Brook', '2024-05-13', 92),
    (21, 10, 'Ulric Sands', '2024-05-21', 61),
    (22, 10, 'Violet Penn', '2024-05-28', 66),
    (23, 11, 'Wesley Hunt', '2024-06-04', 93),
    (24, 12, 'Xenia Ross', '2024-06-10', 87),
    (25, 12, 'Yvette Lamb', '2024-06-18', NULL),
    (26, 13, 'Zack Miller', '2024-06-26', 90);
