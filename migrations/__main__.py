from jobs.database import Database
from jobs.settings import Settings
from migrations import upgrade

if __name__ == "__main__":
    database = Database(Settings().database_url.get_secret_value())
    upgrade(database.engine)
    database.close()
